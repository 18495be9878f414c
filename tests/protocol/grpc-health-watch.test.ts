import { describe, expect, test } from "bun:test";
import { status as code } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import type { GrpcStream } from "../support/clients/grpc-stream.ts";
import { H2cClient } from "../support/clients/h2c-client.ts";
import { FrameQueue, rpcFrame } from "../support/clients/rpc-frames.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const MAX_STREAMS = 10;
const WATCH = "/grpc.health.v1.Health/Watch";
const SHUTTING_DOWN = "The relay is shutting down";

const startRelay = async (args: readonly string[] = []) => {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const relay = stack.use(await startRelayProcess({ upstream, args }));
  const client = stack.use(new GrpcClient(relay.grpcUrl));
  const owned = stack.move();
  return { upstream, relay, client, [Symbol.asyncDispose]: () => owned.disposeAsync() };
};

const MAX_WATCHES = 1_000;
/** Fewer than may arrive at once on a connection. */
const OPENED_AT_ONCE = 100;

async function openWatches(client: GrpcClient, count: number): Promise<GrpcStream<object>[]> {
  const watches: GrpcStream<object>[] = [];
  while (watches.length < count) {
    const more = Array.from({ length: OPENED_AT_ONCE }, () => client.watchHealth());
    for (const watch of more) await watch.next();
    watches.push(...more);
  }
  return watches;
}

const next = async (watch: GrpcStream<{ readonly status: string }>) => (await watch.next()).status;

describe("Health: grpc.health.v1.Health/Watch", () => {
  test.concurrent.each(["", "readiness", "statsig_forward_proxy.StatsigForwardProxy"])(
    "sends the state at once, and nothing more while it stays the same, for the service %p",
    async (service) => {
      await using started = await startRelay();
      using watch = started.client.watchHealth(service);
      expect(await next(watch)).toBe("SERVING");
      // Twice the time between two checks.
      await Bun.sleep(2_000);
      expect(watch.waiting).toBe(0);
      expect(await started.client.checkHealth(service)).toBe("SERVING");
    },
  );

  test("sends each change: the relay becomes ready", async () => {
    await using started = await startRelay(["--preload-sdk-keys", "secret-watched"]);
    using watch = started.client.watchHealth();
    expect(await next(watch)).toBe("NOT_SERVING");
    publishKey(started.upstream, "secret-watched");
    expect(await next(watch)).toBe("SERVING");
  });

  test("sends each change: streams beyond the threshold, and below it again. Watches are no such streams", async () => {
    await using started = await startRelay(["-g", String(MAX_STREAMS)]);
    const { sdkKey } = publishKey(started.upstream, "secret-watched");
    const watches = Array.from({ length: 2 * MAX_STREAMS }, () => started.client.watchHealth());
    for (const watch of watches) expect(await next(watch)).toBe("SERVING");
    const streams = Array.from({ length: MAX_STREAMS }, () =>
      started.client.streamConfigSpec({ sdkKey, version: 2 }),
    );
    for (const stream of streams) await stream.next();
    for (const watch of watches) expect(await next(watch)).toBe("NOT_SERVING");
    streams[0]?.cancel();
    for (const watch of watches) expect(await next(watch)).toBe("SERVING");
    for (const each of [...streams, ...watches]) each.cancel();
  });

  test("sends NOT_SERVING at shutdown, and then ends with UNAVAILABLE", async () => {
    await using started = await startRelay();
    const watches = Array.from({ length: 20 }, () => started.client.watchHealth());
    for (const watch of watches) expect(await next(watch)).toBe("SERVING");
    const exitCode = started.relay.stop();
    for (const watch of watches) {
      expect(await next(watch)).toBe("NOT_SERVING");
      expect(await watch.status()).toMatchObject({ code: code.UNAVAILABLE, details: SHUTTING_DOWN });
    }
    expect(await exitCode).toBe(0);
  });

  test.each([
    ["Connect", "HTTP", "application/connect+json", JSON.stringify({ service: "any" })],
    ["gRPC-Web", "HTTP", "application/grpc-web+proto", ""],
    ["Connect", "gRPC", "application/connect+json", JSON.stringify({ service: "any" })],
    ["gRPC-Web", "gRPC", "application/grpc-web+proto", ""],
  ] as const)("over %s on the %s port", async (protocol, port, type, message) => {
    await using started = await startRelay();
    using resources = new DisposableStack();
    const frames =
      port === "HTTP"
        ? fetchFrames(started.relay.httpUrl, type, message)
        : resources
            .use(new H2cClient(started.relay.grpcUrl))
            .open(WATCH, { "content-type": type }, rpcFrame(message)).frames;
    const read = async () => (await frames.next())?.data.toString("latin1");
    expect(await read()).toBe(STATES[protocol].serving);
    const exitCode = started.relay.stop();
    expect(await read()).toBe(STATES[protocol].notServing);
    expect(decodeURIComponent((await read()) ?? "")).toContain(SHUTTING_DOWN);
    expect(await exitCode).toBe(0);
  });

  test("stays open for longer than the idle timeout, over HTTP/1.1 and gRPC", async () => {
    await using started = await startRelay(["--idle-timeout-in-s", "1"]);
    const frames = fetchFrames(started.relay.httpUrl, "application/connect+json", "{}");
    using watch = started.client.watchHealth();
    expect(await next(watch)).toBe("SERVING");
    expect((await frames.next())?.data.toString()).toBe(STATES.Connect.serving);
    await Bun.sleep(4_000);
    const exitCode = started.relay.stop();
    expect(await next(watch)).toBe("NOT_SERVING");
    expect((await frames.next())?.data.toString()).toBe(STATES.Connect.notServing);
    expect(await exitCode).toBe(0);
  }, 30_000);

  test("a watch that is cancelled leaves nothing: others can be opened again and again", async () => {
    await using started = await startRelay();
    // A connection each, since Deno's HTTP/2 ends one on which a client resets about 800 streams at once.
    using clients = new DisposableStack();
    for (let round = 0; round < 5; round++) {
      const client = clients.use(new GrpcClient(started.relay.grpcUrl));
      for (const watch of await openWatches(client, MAX_WATCHES / 2)) watch.cancel();
    }
    await eventually(async () => {
      using watch = started.client.watchHealth();
      expect(await next(watch)).toBe("SERVING");
    });
  }, 30_000);

  test("beyond 1,000 of all clients they are RESOURCE_EXHAUSTED", async () => {
    await using started = await startRelay(["-g", "2000"]);
    const watches = await openWatches(started.client, MAX_WATCHES);
    using other = new GrpcClient(started.relay.grpcUrl);
    using refused = other.watchHealth();
    expect(await refused.status()).toMatchObject({ code: code.RESOURCE_EXHAUSTED });
    await eventually(() => expect(started.relay.output()).toContain("limit=health-watches"));
    watches[0]?.cancel();
    await eventually(async () => {
      using watch = other.watchHealth();
      expect(await next(watch)).toBe("SERVING");
    });
  }, 30_000);
});

/** The messages in the form of each protocol; in protobuf, field 1 is the status. */
const STATES = {
  Connect: { serving: '{"status":"SERVING"}', notServing: '{"status":"NOT_SERVING"}' },
  "gRPC-Web": { serving: "\x08\x01", notServing: "\x08\x02" },
};

/** Watches over HTTP/1.1. */
function fetchFrames(url: string, type: string, message: string): FrameQueue {
  const frames = new FrameQueue();
  const read = async () => {
    const init = { method: "POST", headers: { "content-type": type }, body: rpcFrame(message) };
    const { body } = await fetch(`${url}${WATCH}`, init);
    for await (const chunk of body ?? []) frames.push(chunk);
    frames.end();
  };
  void read();
  return frames;
}
