import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect } from "node:net";
import { status as GrpcStatus } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { eventually, within } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { forKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const started = async (options: { args?: readonly string[] } = {}) => {
  const upstream = await startUpstream();
  upstream.publish("secret-a", "v2", specV2({ lcut: 1_000 }));
  upstream.publish("secret-b", "v2", specV2({ lcut: 1_000 }));
  const relay = await startRelayProcess({ upstream, ...options });
  return {
    upstream,
    relay,
    ask: (key: string) => fetch(`${relay.httpUrl}/v2/download_config_specs/${key}.json`),
    async [Symbol.asyncDispose]() {
      await relay[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
};

/** Less than the grace period of 10 s, which is for what is in flight. */
const IDLE_LIMIT_MS = 7_000;

describe("SIGTERM and SIGINT", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s stops an idle relay soon with exit code 0",
    async (signal) => {
      await using setup = await started();
      const began = performance.now();
      expect(await setup.relay.stop(signal)).toBe(0);
      expect(performance.now() - began).toBeLessThan(IDLE_LIMIT_MS);
      expect(setup.relay.output()).toContain(`stopping signal=${signal}`);
    },
  );

  test("finishes a request in flight and refuses new connections", async () => {
    await using setup = await started();
    const refused = Promise.withResolvers<void>();
    setup.upstream.misbehave({ kind: "none" }, { until: refused.promise, ...forKey("secret-b") });
    const slow = setup.ask("secret-b");
    await eventually(() => expect(setup.upstream.requests).toHaveLength(1));
    setup.relay.signal("SIGTERM");
    await eventually(() => expect(setup.ask("secret-a")).rejects.toThrow());
    refused.resolve();
    const response = await slow;
    expect([response.status, ((await response.json()) as { time: number }).time]).toEqual([200, 1_000]);
    expect(await within(setup.relay.exited(), 15_000, "exit")).toBe(0);
  });

  test("finishes a unary gRPC call in flight", async () => {
    await using setup = await started();
    const refused = Promise.withResolvers<void>();
    setup.upstream.misbehave({ kind: "none" }, { until: refused.promise, ...forKey("secret-b") });
    using client = new GrpcClient(setup.relay.grpcUrl);
    const slow = client.getConfigSpec({ sdkKey: "secret-b", version: 2 });
    await eventually(() => expect(setup.upstream.requests).toHaveLength(1));
    setup.relay.signal("SIGTERM");
    await eventually(() => expect(setup.ask("secret-a")).rejects.toThrow());
    refused.resolve();
    expect((await slow).message.lastUpdated).toBe(1_000);
    expect(await within(setup.relay.exited(), 15_000, "exit")).toBe(0);
  });

  test("ends streams with UNAVAILABLE, so that clients reconnect to another replica", async () => {
    await using setup = await started();
    using client = new GrpcClient(setup.relay.grpcUrl);
    const streams = Array.from({ length: 20 }, () =>
      client.streamConfigSpec({ sdkKey: "secret-a", version: 2 }),
    );
    await Promise.all(streams.map((stream) => stream.next()));
    setup.relay.signal("SIGTERM");
    for (const stream of streams) {
      expect(await stream.status()).toMatchObject({
        code: GrpcStatus.UNAVAILABLE,
        details: "The relay is shutting down",
      });
    }
    expect(await within(setup.relay.exited(), 15_000, "exit")).toBe(0);
  });

  test("does not wait for idle keep-alive connections", async () => {
    await using setup = await started();
    const socket = connect(setup.relay.httpPort, "127.0.0.1");
    socket.write("GET /v1/ready HTTP/1.1\r\nHost: relay\r\n\r\n");
    await once(socket, "data");
    const began = performance.now();
    expect(await setup.relay.stop()).toBe(0);
    expect(performance.now() - began).toBeLessThan(IDLE_LIMIT_MS);
    socket.destroy();
  });

  test("waits at most --shutdown-grace-in-s for a request in flight", async () => {
    await using setup = await started({ args: ["--shutdown-grace-in-s", "1"] });
    setup.upstream.misbehave({ kind: "hang" });
    const stuck = setup.ask("secret-b").then(
      () => "completed",
      () => "cut",
    );
    await eventually(() => expect(setup.upstream.requests).toHaveLength(1));
    const began = performance.now();
    expect(await setup.relay.stop()).toBe(0);
    expect(performance.now() - began).toBeWithin(900, IDLE_LIMIT_MS);
    expect(await stuck).toBe("cut");
  });

  test("stops at once on a second signal", async () => {
    await using setup = await started({ args: ["--shutdown-grace-in-s", "60"] });
    setup.upstream.misbehave({ kind: "hang" });
    void setup.ask("secret-b").catch(() => undefined);
    await eventually(() => expect(setup.upstream.requests).toHaveLength(1));
    setup.relay.signal("SIGTERM");
    await eventually(() => expect(setup.relay.output()).toContain("stopping"));
    setup.relay.signal("SIGINT");
    // The request in flight ends after 9 s.
    await within(setup.relay.exited(), 6_000, "exit");
  });
});
