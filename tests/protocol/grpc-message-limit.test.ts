import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { status as code } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { H2cClient } from "../support/clients/h2c-client.ts";
import { GET_CONFIG_SPEC, RawGrpcClient, STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { decodeFields, encodeRequest } from "../support/clients/spec-messages.ts";
import { failureOf } from "../support/common/failure.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { startReloadedRelay } from "../support/relay/reloaded-relay.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT, forKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const MIB = 1024 * 1024;
const NO_UPDATE = '{"has_updates":false}';

/** Publishes a version whose message has this many bytes, and returns its text. */
function publish(upstream: Upstream, sdkKey: string, messageBytes: number, lcut = FIRST_LCUT): string {
  const aroundText = encodeMessage("x".repeat(messageBytes), lcut) - messageBytes;
  const text = JSON.stringify(padTo(specV2({ lcut, sdkKey }), messageBytes - aroundText));
  expect(encodeMessage(text, lcut)).toBe(messageBytes);
  upstream.publish(sdkKey, "v2", text, lcut);
  return text;
}

/** The bytes of a `ConfigSpecResponse`: each field is a tag of one byte and a varint, which the text follows. */
function encodeMessage(text: string, lcut: number): number {
  const varintBytes = (value: number) => Math.ceil(value.toString(2).length / 7);
  return 1 + varintBytes(text.length) + text.length + 1 + varintBytes(lcut);
}

const REFUSED = {
  code: code.RESOURCE_EXHAUSTED,
  details: expect.stringMatching(
    /^The config spec is too large for gRPC: \d+ bytes, at most \d+ are sent \(--grpc-max-message-size-in-mb of the relay\)\. Let this client poll over HTTP; core SDKs do if network_http is the first adapter$/,
  ),
};

describe("a config spec that is too large for gRPC clients, by default", () => {
  const shared = shareRelay();

  test("4 MiB arrive at a client with the default limit; one byte more is refused", async () => {
    const [fits, exceeds] = ["secret-fits", "secret-exceeds"];
    const text = publish(shared.upstream, fits, 4 * MIB);
    publish(shared.upstream, exceeds, 4 * MIB + 1);
    using client = new RawGrpcClient(shared.relay.grpcUrl);
    const { message } = await client.unary(GET_CONFIG_SPEC, encodeRequest({ sdkKey: fits, version: 2 }));
    expect(message.length).toBe(4 * MIB);
    expect(decodeFields(message)).toEqual({ 1: text, 2: FIRST_LCUT });
    const request = encodeRequest({ sdkKey: exceeds, version: 2 });
    const refusal = {
      ...REFUSED,
      details: expect.stringContaining("4194305 bytes, at most 4194304 are sent"),
    };
    expect(await failureOf(client.unary(GET_CONFIG_SPEC, request))).toMatchObject(refusal);
    using other = new GrpcClient(shared.relay.grpcUrl);
    using streamOfOther = other.streamConfigSpec({ sdkKey: fits, version: 2 });
    expect((await streamOfOther.next()).spec).toBe(text);
    using stream = other.streamConfigSpec({ sdkKey: exceeds, version: 2 });
    expect(await stream.status()).toMatchObject(refusal);
  }, 60_000);
});

describe("a config spec that is too large for gRPC clients", () => {
  const shared = shareRelay({ args: ["--grpc-max-message-size-in-mb", "1", "-g", "2"] });
  const connect = () => new GrpcClient(shared.relay.grpcUrl);

  test("is refused to streams, whatever the client has: a message would end the polling of core SDKs", async () => {
    const sdkKey = "secret-refused";
    publish(shared.upstream, sdkKey, MIB + 1);
    using client = connect();
    // More often than there is room for open streams.
    for (const sinceTime of [0, FIRST_LCUT - 1, FIRST_LCUT, FIRST_LCUT + 1]) {
      using stream = client.streamConfigSpec({ sdkKey, version: 2, sinceTime });
      expect(await stream.status()).toMatchObject(REFUSED);
      expect(stream.waiting).toBe(0);
    }
  });

  test("is refused to unary calls that need it", async () => {
    const sdkKey = "secret-refused-once";
    publish(shared.upstream, sdkKey, MIB + 1);
    using client = connect();
    for (const sinceTime of [0, FIRST_LCUT - 1]) {
      expect(await failureOf(client.getConfigSpec({ sdkKey, version: 2, sinceTime }))).toMatchObject(REFUSED);
    }
    const { message } = await client.getConfigSpec({ sdkKey, version: 2, sinceTime: FIRST_LCUT });
    expect(message).toEqual({ spec: NO_UPDATE, lastUpdated: FIRST_LCUT });
  });

  test.each([GET_CONFIG_SPEC, STREAM_CONFIG_SPEC])("is refused to compressed requests: %s", async (path) => {
    const sdkKey = "secret-refused-gzip";
    publish(shared.upstream, sdkKey, MIB + 1);
    using client = new H2cClient(shared.relay.grpcUrl);
    const body = rpcFrame(gzipSync(encodeRequest({ sdkKey, version: 2 })), 1);
    const headers = { "content-type": "application/grpc", te: "trailers", "grpc-encoding": "gzip" };
    const response = await client.post(path, headers, body);
    const grpcStatus = response.trailers["grpc-status"] ?? response.headers["grpc-status"];
    expect(grpcStatus).toBe(String(code.RESOURCE_EXHAUSTED));
    expect(response.body.length).toBe(0);
  });

  test("ends the streams that are open when a version grows, and is sent again once it has shrunk", async () => {
    const sdkKey = "secret-grows";
    const first = publish(shared.upstream, sdkKey, 10_000);
    using client = connect();
    using open = client.streamConfigSpec({ sdkKey, version: 2 });
    using upToDate = client.streamConfigSpec({ sdkKey, version: 2, sinceTime: FIRST_LCUT });
    expect((await open.next()).spec).toBe(first);
    expect((await upToDate.next()).spec).toBe(NO_UPDATE);
    publish(shared.upstream, sdkKey, MIB + 1, FIRST_LCUT + 1);
    for (const stream of [open, upToDate]) {
      expect(await stream.status()).toMatchObject(REFUSED);
      expect(stream.waiting).toBe(0);
    }
    const last = publish(shared.upstream, sdkKey, MIB, FIRST_LCUT + 2);
    const polls = () => shared.upstream.requests.filter(forKey(sdkKey).when).length;
    const polled = polls();
    await eventually(() => expect(polls()).toBeGreaterThanOrEqual(polled + 2), { withinMs: 15_000 });
    using again = client.streamConfigSpec({ sdkKey, version: 2, sinceTime: FIRST_LCUT });
    expect((await again.next()).spec).toBe(last);
  }, 60_000);

  test("arrives over Connect and gRPC-Web, whose clients have no limit by default, and over HTTP", async () => {
    const sdkKey = "secret-other-protocols";
    const text = publish(shared.upstream, sdkKey, MIB + 1);
    using client = new H2cClient(shared.relay.grpcUrl);
    const overHttp1 = async (type: string, body: Uint8Array | string) => {
      const options = { method: "POST", headers: { "content-type": type }, body };
      const response = await fetch(`${shared.relay.httpUrl}${GET_CONFIG_SPEC}`, options);
      return Buffer.from(await response.arrayBuffer());
    };
    const overHttp2 = async (type: string, body: Uint8Array | string) =>
      (await client.post(GET_CONFIG_SPEC, { "content-type": type }, body)).body;
    for (const post of [overHttp1, overHttp2]) {
      const connect = await post("application/json", JSON.stringify({ sdkKey, version: "v2" }));
      expect(JSON.parse(connect.toString()).spec).toBe(text);
      const web = await post("application/grpc-web+proto", rpcFrame(encodeRequest({ sdkKey, version: 2 })));
      expect(web.includes(text.slice(0, 1_000))).toBe(true);
      expect(web.length).toBeGreaterThan(MIB);
    }
    const http = await fetch(`${shared.relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);
    expect(await http.text()).toBe(text);
  });
});

test("a reload changes the limit: open streams beyond it end with the next message", async () => {
  await using upstream = await startUpstream();
  const sdkKey = "secret-reloaded";
  const text = publish(upstream, sdkKey, 2 * MIB - 100);
  const settings = (mb: number) => ({ "grpc-max-message-size-in-mb": mb, "polling-interval-in-s": 1 });
  await using reloaded = await startReloadedRelay(upstream, settings(1));
  using client = new GrpcClient(reloaded.relay.grpcUrl);
  using refused = client.streamConfigSpec({ sdkKey, version: 2 });
  expect(await refused.status()).toMatchObject(REFUSED);
  // Threads report it after a while.
  const patient = { withinMs: 15_000 };
  const logs = (text: string) => eventually(() => expect(reloaded.relay.output()).toContain(text), patient);
  await logs("too large for gRPC clients, refusing");
  expect(await reloaded.reload(settings(2))).toContain("changed=grpc-max-message-size-in-mb");
  await logs("no longer too large");
  using stream = client.streamConfigSpec({ sdkKey, version: 2 });
  expect((await stream.next()).spec).toBe(text);
  await reloaded.reload(settings(1));
  const next = FIRST_LCUT + 1;
  upstream.publish(sdkKey, "v2", text.replace(`"time":${FIRST_LCUT}`, `"time":${next}`), next);
  expect(await stream.status()).toMatchObject(REFUSED);
}, 60_000);
