import { describe, expect, test } from "bun:test";
import { status as code, type ServiceError } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { H2cClient } from "../support/clients/h2c-client.ts";
import { GET_CONFIG_SPEC, RawGrpcClient, STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { failureOf } from "../support/common/failure.ts";
import { eventually } from "../support/common/wait.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const GRPC = { "content-type": "application/grpc", te: "trailers" };
const shared = shareRelay();

/** The outcome of both calls for a key. */
async function endsOf(sdkKey: string, grpcUrl = shared.relay.grpcUrl) {
  using client = new GrpcClient(grpcUrl);
  const unary = client.getConfigSpec({ sdkKey, version: 2 }).catch((error: ServiceError) => error);
  using stream = client.streamConfigSpec({ sdkKey, version: 2 });
  return [await unary, await stream.status()];
}

describe("gRPC errors: unauthorized is PERMISSION_DENIED", () => {
  test.each([401, 403])('"Unauthorized", if upstream responds with %d', async (upstreamStatus) => {
    const sdkKey = `secret-denied-${upstreamStatus}`;
    shared.upstream.misbehave(status(upstreamStatus), forKey(sdkKey));
    for (const end of await endsOf(sdkKey)) {
      expect(end).toMatchObject({ code: code.PERMISSION_DENIED, details: "Unauthorized" });
    }
  });

  test("also at the end of a stream whose key was revoked and cleared", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, "secret-revoked");
    await using relay = await startRelayProcess({ upstream, args: ["--clear-datastore-on-unauthorized"] });
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: "secret-revoked", version: 2 });
    await stream.next();
    upstream.forget("secret-revoked");
    expect(await stream.status()).toMatchObject({ code: code.PERMISSION_DENIED, details: "Unauthorized" });
  });
});

test.each(["", "a/b", "a b", "secret-\u00e9", "../secret", "k".repeat(201)])(
  "gRPC errors: a malformed key is INVALID_ARGUMENT, and is not sent upstream: %p",
  async (sdkKey) => {
    const before = shared.upstream.requests.length;
    for (const end of await endsOf(sdkKey)) expect(end).toMatchObject({ code: code.INVALID_ARGUMENT });
    const asked = shared.upstream.requests.slice(before).map(({ url }) => decodeURIComponent(url));
    expect(asked.filter((url) => url.includes(sdkKey === "" ? "/.json" : sdkKey))).toEqual([]);
  },
);

test("gRPC errors: bytes that are not a ConfigSpecRequest end in an error, and the relay continues", async () => {
  using client = new RawGrpcClient(shared.relay.grpcUrl);
  for (const garbage of [
    Buffer.from([0xff, 0xff, 0xff]),
    Buffer.from([10, 200, 1, 65]),
    Buffer.alloc(70_000, 65),
  ]) {
    const end = (await failureOf(client.unary(GET_CONFIG_SPEC, garbage))) as ServiceError;
    expect([code.INVALID_ARGUMENT, code.RESOURCE_EXHAUSTED]).toContain(end.code);
  }
  const { sdkKey } = publishKey(shared.upstream, "secret-after-garbage");
  const { status: end } = await client.unary(GET_CONFIG_SPEC, encodeRequest({ sdkKey }));
  expect(end.code).toBe(code.OK);
});

describe("gRPC errors: UNAVAILABLE", () => {
  test.each([404, 429, 500, 503])(
    "if upstream responds with %d and nothing is cached, until it recovers",
    async (bad) => {
      const sdkKey = `secret-unavailable-${bad}`;
      const { v2, lcut } = publishKey(shared.upstream, sdkKey);
      const restore = shared.upstream.misbehave(status(bad, "unauthorized"), forKey(sdkKey));
      for (const end of await endsOf(sdkKey)) expect(end).toMatchObject({ code: code.UNAVAILABLE });
      restore();
      using client = new GrpcClient(shared.relay.grpcUrl);
      await eventually(
        async () => {
          const { message } = await client.getConfigSpec({ sdkKey, version: 2 });
          expect(message).toEqual({ spec: v2, lastUpdated: lcut });
        },
        { withinMs: 15_000 },
      );
    },
  );
});

describe("gRPC errors: deadlines", () => {
  test("of the client end a call while upstream hangs, and the relay continues", async () => {
    const sdkKey = "secret-hangs";
    publishKey(shared.upstream, sdkKey);
    shared.upstream.misbehave({ kind: "hang" }, forKey(sdkKey));
    using client = new RawGrpcClient(shared.relay.grpcUrl);
    const call = client.unary(GET_CONFIG_SPEC, encodeRequest({ sdkKey }), { deadlineMs: 300 });
    expect(await failureOf(call)).toMatchObject({ code: code.DEADLINE_EXCEEDED });
    const { sdkKey: other } = publishKey(shared.upstream, "secret-hangs-not");
    expect((await client.unary(GET_CONFIG_SPEC, encodeRequest({ sdkKey: other }))).status.code).toBe(code.OK);
  });

  test("the relay itself ends a stream with DEADLINE_EXCEEDED after grpc-timeout", async () => {
    const { sdkKey } = publishKey(shared.upstream, "secret-timeout");
    using client = new H2cClient(shared.relay.grpcUrl);
    // A spec from memory is sent at once, whereas the request to upstream may take longer than the stream.
    using first = client.open(STREAM_CONFIG_SPEC, GRPC, rpcFrame(encodeRequest({ sdkKey })));
    expect(await first.frames.next()).toBeDefined();
    const headers = { ...GRPC, "grpc-timeout": "300m" };
    using call = client.open(STREAM_CONFIG_SPEC, headers, rpcFrame(encodeRequest({ sdkKey })));
    expect(await call.frames.next()).toBeDefined();
    expect((await call.trailers())["grpc-status"]).toBe(String(code.DEADLINE_EXCEEDED));
  });

  // Until src/grpc waits for upstream no longer than the call.
  test("grpc-timeout also ends a unary call that waits for upstream", async () => {
    const sdkKey = "secret-timeout-unary";
    publishKey(shared.upstream, sdkKey);
    shared.upstream.misbehave({ kind: "hang" }, forKey(sdkKey));
    using client = new H2cClient(shared.relay.grpcUrl);
    const headers = { ...GRPC, "grpc-timeout": "300m" };
    using call = client.open(GET_CONFIG_SPEC, headers, rpcFrame(encodeRequest({ sdkKey })));
    expect((await call.trailers())["grpc-status"]).toBe(String(code.DEADLINE_EXCEEDED));
  });
});
