import { describe, expect, test } from "bun:test";
import { status as code } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import type { SpecStream } from "../support/clients/grpc-stream.ts";
import { H2cClient } from "../support/clients/h2c-client.ts";
import { STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { eventually, within } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const MAX_STREAMS = 10;
const TOO_MANY = { code: code.RESOURCE_EXHAUSTED, details: "Max concurrent streams reached" };

/** A relay that allows ten streams, and a key that is cached. */
async function startSmallRelay() {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const relay = stack.use(await startRelayProcess({ upstream, args: ["-g", String(MAX_STREAMS)] }));
  const client = stack.use(new GrpcClient(relay.grpcUrl));
  const { sdkKey } = publishKey(upstream, "secret-limits");
  const owned = stack.move();
  const open = async (count: number, by = client): Promise<SpecStream[]> => {
    const streams = Array.from({ length: count }, () => by.streamConfigSpec({ sdkKey, version: 2 }));
    try {
      for (const stream of streams) await stream.next();
      return streams;
    } catch (error) {
      for (const stream of streams) stream.cancel();
      throw error;
    }
  };
  return { relay, client, sdkKey, open, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

type SmallRelay = Awaited<ReturnType<typeof startSmallRelay>>;

/** Checks that no stream is still counted: as many as allowed can be opened. Leaves them open. */
const expectNoneCounted = ({ open }: SmallRelay): Promise<SpecStream[]> =>
  eventually(() => open(MAX_STREAMS));

describe("gRPC: too many streams", () => {
  test('are RESOURCE_EXHAUSTED "Max concurrent streams reached", over all connections together', async () => {
    await using small = await startSmallRelay();
    using otherClient = new GrpcClient(small.relay.grpcUrl);
    await small.open(MAX_STREAMS - 4);
    const [last] = await small.open(4, otherClient);
    for (const client of [small.client, otherClient]) {
      using refused = client.streamConfigSpec({ sdkKey: small.sdkKey, version: 2 });
      expect(await refused.status()).toMatchObject(TOO_MANY);
    }
    // A unary call does not count as a stream.
    expect((await small.client.getConfigSpec({ sdkKey: small.sdkKey })).message.lastUpdated).toBeGreaterThan(
      0,
    );
    last?.cancel();
    await eventually(() => small.open(1));
    using refusedAgain = otherClient.streamConfigSpec({ sdkKey: small.sdkKey, version: 2 });
    expect(await refusedAgain.status()).toMatchObject(TOO_MANY);
  });

  test("a stream over Connect on the HTTP port counts too", async () => {
    await using small = await startSmallRelay();
    await small.open(MAX_STREAMS - 1);
    const leave = new AbortController();
    const response = await fetch(`${small.relay.httpUrl}${STREAM_CONFIG_SPEC}`, {
      method: "POST",
      headers: { "content-type": "application/connect+json" },
      body: rpcFrame(JSON.stringify({ sdkKey: small.sdkKey })),
      signal: leave.signal,
    });
    await within(
      response.body?.getReader().read() ?? Promise.reject(new Error("no body")),
      5_000,
      "a message",
    );
    using refused = small.client.streamConfigSpec({ sdkKey: small.sdkKey, version: 2 });
    expect(await refused.status()).toMatchObject(TOO_MANY);
    leave.abort();
    await eventually(() => small.open(1));
  });
});

describe("gRPC: the stream count is zero after", () => {
  test("cancellation", async () => {
    await using small = await startSmallRelay();
    for (let round = 0; round < 3; round++) {
      for (const stream of await expectNoneCounted(small)) stream.cancel();
    }
    await expectNoneCounted(small);
  });

  test("cancellation of streams that were never read", async () => {
    await using small = await startSmallRelay();
    for (let number = 0; number < MAX_STREAMS; number++) {
      const stream = small.client.streamConfigSpec({ sdkKey: small.sdkKey, version: 2 });
      stream.pause();
      await stream.metadata();
      stream.cancel();
    }
    await expectNoneCounted(small);
  });

  test("broken connections", async () => {
    await using small = await startSmallRelay();
    const headers = { "content-type": "application/grpc", te: "trailers" };
    const request = rpcFrame(encodeRequest({ sdkKey: small.sdkKey }));
    {
      using client = new H2cClient(small.relay.grpcUrl);
      const calls = Array.from({ length: MAX_STREAMS }, () =>
        client.open(STREAM_CONFIG_SPEC, headers, request),
      );
      for (const call of calls) expect(await call.frames.next()).toBeDefined();
    }
    await expectNoneCounted(small);
  });

  test("deadlines", async () => {
    await using small = await startSmallRelay();
    using client = new H2cClient(small.relay.grpcUrl);
    const headers = { "content-type": "application/grpc", te: "trailers", "grpc-timeout": "200m" };
    const request = rpcFrame(encodeRequest({ sdkKey: small.sdkKey }));
    const calls = Array.from({ length: MAX_STREAMS }, () =>
      client.open(STREAM_CONFIG_SPEC, headers, request),
    );
    for (const call of calls) expect((await call.trailers())["grpc-status"]).toBe("4");
    await expectNoneCounted(small);
  });

  test("rejected streams", async () => {
    await using small = await startSmallRelay();
    for (const sdkKey of ["secret-unknown", "no key", ""]) {
      for (let number = 0; number < MAX_STREAMS; number++) {
        using stream = small.client.streamConfigSpec({ sdkKey, version: 2 });
        expect((await stream.status()).code).not.toBe(code.OK);
      }
    }
    await expectNoneCounted(small);
  });
});

describe("Health: grpc.health.v1.Health/Check", () => {
  test("SERVING while open streams x 100 / max is at most 90, otherwise NOT_SERVING", async () => {
    await using small = await startSmallRelay();
    expect(await small.client.checkHealth()).toBe("SERVING");
    await small.open(9);
    expect(await small.client.checkHealth()).toBe("SERVING");
    const [tenth] = await small.open(1);
    expect(await small.client.checkHealth()).toBe("NOT_SERVING");
    tenth?.cancel();
    await eventually(async () => expect(await small.client.checkHealth()).toBe("SERVING"));
  });

  test("is the same for any service name", async () => {
    await using small = await startSmallRelay();
    const names = ["", "statsig_forward_proxy.StatsigForwardProxy", "another.Service"];
    const askAll = () => Promise.all(names.map((name) => small.client.checkHealth(name)));
    expect(await askAll()).toEqual(["SERVING", "SERVING", "SERVING"]);
    await small.open(10);
    expect(await askAll()).toEqual(["NOT_SERVING", "NOT_SERVING", "NOT_SERVING"]);
  });

  test("never depends on upstream", async () => {
    await using relay = await startRelayProcess({ env: { STATSIG_ENDPOINT: "http://127.0.0.1:9" } });
    using client = new GrpcClient(relay.grpcUrl);
    expect(await client.checkHealth()).toBe("SERVING");
  });
});
