import { beforeAll, describe, expect } from "bun:test";
import { status as code } from "@grpc/grpc-js";
import { HEARTBEAT_MS } from "../../src/streams/heartbeats.ts";
import { FollowedStream } from "../support/clients/followed-stream.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import type { SpecStream } from "../support/clients/grpc-stream.ts";
import { H2cClient } from "../support/clients/h2c-client.ts";
import { GET_CONFIG_SPEC, RawGrpcClient } from "../support/clients/raw-grpc-client.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { type CallOutcome, callStream, callUnary } from "../support/drop-in/grpc-calls.ts";
import { testRows } from "../support/drop-in/row.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT, forKey, publishKey, versionOf } from "../support/upstream/published-key.ts";
import { status } from "../support/upstream/upstream.ts";
import { type CallResult, FAILING_KEY, GRPC_ROWS, type GrpcRow, KEY, type Scenario } from "./grpc.rows.ts";

const NO_UPDATE = '{"has_updates":false}';
const MAX_STREAMS = 10;
const shared = shareRelay({
  mode: "grpc",
  args: ["-g", String(MAX_STREAMS), "--clear-datastore-on-unauthorized"],
});
const { lcut, v1, v2 } = versionOf(KEY);
const request = { sdkKey: KEY, version: 2 } as const;

beforeAll(() => {
  publishKey(shared.upstream, KEY);
  publishKey(shared.upstream, FAILING_KEY);
  shared.upstream.misbehave(status(500), forKey(FAILING_KEY));
});

async function check(row: GrpcRow): Promise<void> {
  const { grpcUrl } = shared.relay;
  switch (row.kind) {
    case "call":
      expectResult(await callUnary(grpcUrl, encodeRequest(row.request)), row.result);
      expectResult(await callStream(grpcUrl, row.request), row.result);
      break;
    case "health": {
      using client = new GrpcClient(grpcUrl);
      expect(await client.checkHealth(row.service)).toBe("SERVING");
      break;
    }
    case "scenario":
      await SCENARIOS[row.name]();
  }
}

function expectResult(outcome: CallOutcome, result: CallResult): void {
  expect(outcome.code).toBe(result.code);
  if (result.details !== undefined) expect(outcome.details).toBe(result.details);
  if (result.spec === undefined) return;
  const spec = { v1, v2, "no update": NO_UPDATE }[result.spec];
  expect(outcome.message).toEqual({ 1: spec, 2: lcut });
}

/** Opens streams that have their first message, once those of earlier rows are closed. */
function openStreams(client: GrpcClient, count: number): Promise<SpecStream[]> {
  return eventually(async () => {
    const streams = Array.from({ length: count }, () => client.streamConfigSpec(request));
    try {
      for (const stream of streams) await stream.next();
      return streams;
    } catch (error) {
      cancel(streams);
      throw error;
    }
  });
}

function cancel(streams: readonly SpecStream[]): void {
  for (const stream of streams) stream.cancel();
}

const SCENARIOS: Readonly<Record<Scenario, () => Promise<void>>> = {
  "response metadata": async () => {
    const asked = [
      callUnary(shared.relay.grpcUrl, encodeRequest(request)),
      callStream(shared.relay.grpcUrl, request),
    ];
    for (const { metadata } of await Promise.all(asked)) {
      expect(metadata?.get("x-sfp-hostname")).toEqual(["no_hostname_set"]);
    }
  },
  "updates on a stream": async () => {
    const { sdkKey, ...first } = publishKey(shared.upstream, "secret-grpc-updates");
    using client = new GrpcClient(shared.relay.grpcUrl);
    using full = client.streamConfigSpec({ sdkKey, version: 2 });
    using upToDate = client.streamConfigSpec({ sdkKey, version: 2, sinceTime: first.lcut });
    expect(await full.next()).toEqual({ spec: first.v2, lastUpdated: first.lcut });
    expect(await upToDate.next()).toEqual({ spec: NO_UPDATE, lastUpdated: first.lcut });
    const second = publishKey(shared.upstream, sdkKey, 1);
    const update = { spec: second.v2, lastUpdated: second.lcut };
    expect([await full.next(), await upToDate.next()]).toEqual([update, update]);
  },
  "an update that is older than sinceTime": async () => {
    const { sdkKey, lcut: held } = publishKey(shared.upstream, "secret-grpc-ahead");
    const { lcut: known } = versionOf(sdkKey, 2);
    using client = new GrpcClient(shared.relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey, version: 2, sinceTime: known });
    using witness = client.streamConfigSpec({ sdkKey, version: 2 });
    expect(await stream.next()).toEqual({ spec: NO_UPDATE, lastUpdated: held });
    await witness.next();
    publishKey(shared.upstream, sdkKey, 1);
    await witness.next();
    const newest = publishKey(shared.upstream, sdkKey, 3);
    expect(await stream.next()).toEqual({ spec: newest.v2, lastUpdated: newest.lcut });
  },
  "heartbeat after 30 s": async () => {
    expect(HEARTBEAT_MS).toBe(30_000);
    const stream = new FollowedStream(lcut, 0);
    await stream.drain();
    await stream.clock.advance(HEARTBEAT_MS);
    expect(stream.items.map(({ kind }) => kind)).toEqual(["spec", "no_update"]);
    expect(stream.items.at(-1)).toEqual({ kind: "no_update", lcut });
  },
  "more streams than -g": async () => {
    using client = new GrpcClient(shared.relay.grpcUrl);
    const streams = await openStreams(client, MAX_STREAMS);
    using refused = client.streamConfigSpec(request);
    const full = { code: code.RESOURCE_EXHAUSTED, details: "Max concurrent streams reached" };
    expect(await refused.status()).toMatchObject(full);
    expect((await client.getConfigSpec(request)).message.spec).toBe(v2);
    cancel(streams);
  },
  "Check above 90 % of the streams": async () => {
    using client = new GrpcClient(shared.relay.grpcUrl);
    const streams = await openStreams(client, MAX_STREAMS);
    expect(await client.checkHealth()).toBe("NOT_SERVING");
    expect(await client.checkHealth("any.other.Service")).toBe("NOT_SERVING");
    cancel(streams.slice(0, 1));
    // A tenth of the streams is closed, which leaves 90 %.
    await eventually(async () => expect(await client.checkHealth()).toBe("SERVING"));
    cancel(streams);
  },
  "Check while the relay is not ready": async () => {
    const args = ["--preload-sdk-keys", "secret-grpc-nobody"];
    await using relay = await startRelayProcess({ upstream: shared.upstream, mode: "grpc", args });
    using client = new GrpcClient(relay.grpcUrl);
    expect(await client.checkHealth()).toBe("NOT_SERVING");
  },
  shutdown: async () => {
    await using relay = await startRelayProcess({ upstream: shared.upstream, mode: "grpc" });
    using client = new GrpcClient(relay.grpcUrl);
    const [stream] = await openStreams(client, 1);
    relay.signal("SIGTERM");
    expect(await stream?.status()).toMatchObject({ code: code.UNAVAILABLE });
  },
  "key cleared under a stream": async () => {
    const { sdkKey } = publishKey(shared.upstream, "secret-grpc-cleared");
    using client = new GrpcClient(shared.relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey, version: 2 });
    await stream.next();
    shared.upstream.forget(sdkKey);
    expect(await stream.status(10_000)).toMatchObject({
      code: code.PERMISSION_DENIED,
      details: "Unauthorized",
    });
  },
  "gzip request": async () => {
    using client = new RawGrpcClient(shared.relay.grpcUrl, { "grpc.default_compression_algorithm": 2 });
    const { status: end } = await client.unary(
      GET_CONFIG_SPEC,
      encodeRequest({ ...request, zstdDictId: "x".repeat(2_000) }),
    );
    expect(end.code).toBe(code.OK);
  },
  "request of 100 KiB": async () => {
    const outcome = await callUnary(
      shared.relay.grpcUrl,
      encodeRequest({ ...request, zstdDictId: "x".repeat(100 * 1024) }),
    );
    expect(outcome.code).toBe(code.RESOURCE_EXHAUSTED);
  },
  "config spec above 4 MiB": async () => {
    const sdkKey = "secret-large-over-grpc";
    shared.upstream.publish(sdkKey, "v2", padTo(specV2({ sdkKey, lcut: FIRST_LCUT }), 4_200_000));
    const outcome = await callUnary(shared.relay.grpcUrl, encodeRequest({ sdkKey, version: 2 }));
    expect(outcome.code).toBe(code.RESOURCE_EXHAUSTED);
    const { upstream } = shared;
    const args = ["--grpc-max-message-size-in-mb", "1024"];
    await using relay = await startRelayProcess({ upstream, args });
    using client = new GrpcClient(relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey, version: 2 });
    expect((await stream.next(20_000)).spec.length).toBe(4_200_000);
  },
  Watch: async () => {
    using client = new GrpcClient(shared.relay.grpcUrl);
    using watch = client.watchHealth("any.other.Service");
    expect(await watch.next()).toEqual({ status: "SERVING" });
  },
  "another method": () => expectUnimplemented("/statsig_forward_proxy.StatsigForwardProxy/GetConfigSpec"),
  "path with a trailing slash": () => expectUnimplemented(`${GET_CONFIG_SPEC}/`),
  reflection: async () => {
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    // list_services: field 7, a text.
    const outcome = await callUnary(shared.relay.grpcUrl, Buffer.from([0x3a, 1, 0x2a]), path);
    expect(outcome.code).toBe(code.OK);
  },
  "gRPC-Web": async () => {
    using client = new H2cClient(shared.relay.grpcUrl);
    const headers = { "content-type": "application/grpc-web+proto" };
    const response = await client.post(GET_CONFIG_SPEC, headers, rpcFrame(encodeRequest(request)));
    expect(response.status).toBe(200);
    expect(response.body.toString()).toContain(v2);
  },
};

async function expectUnimplemented(path: string): Promise<void> {
  expect((await callUnary(shared.relay.grpcUrl, encodeRequest(request), path)).code).toBe(code.UNIMPLEMENTED);
}

describe("gRPC as the original", () => testRows(GRPC_ROWS, check));
