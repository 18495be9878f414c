import { beforeAll, describe, expect, test } from "bun:test";
import { curl } from "../support/clients/curl.ts";
import { GET_CONFIG_SPEC, STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { FrameQueue, rpcFrame } from "../support/clients/rpc-frames.ts";
import { decodeFields, encodeRequest } from "../support/clients/spec-messages.ts";
import { describeWith } from "../support/common/needs.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";

const json = { "content-type": "application/json" };
const shared = shareRelay();
let key: PublishedKey;
beforeAll(() => {
  key = publishKey(shared.upstream, "secret-http-port");
});

const post = (path: string, headers: Record<string, string>, body: string | Uint8Array<ArrayBuffer>) =>
  fetch(`${shared.relay.httpUrl}${path}`, { method: "POST", headers, body });

describeWith("curl")("gRPC: the RPC as JSON by curl, on the HTTP port", () => {
  test("returns the spec of v1, or of the requested version", async () => {
    for (const [request, expected] of [
      [{ sdkKey: key.sdkKey }, key.v1],
      [{ sdkKey: key.sdkKey, version: "no_version" }, key.v1],
      [{ sdkKey: key.sdkKey, version: "v1" }, key.v1],
      [{ sdkKey: key.sdkKey, version: "v2" }, key.v2],
      [{ sdkKey: key.sdkKey, version: 2, sinceTime: key.lcut }, '{"has_updates":false}'],
    ] as const) {
      const url = `${shared.relay.httpUrl}${GET_CONFIG_SPEC}`;
      const response = await curl("-H", "content-type: application/json", "-d", JSON.stringify(request), url);
      expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
      expect(response.headers.get("x-sfp-hostname")).toBe("no_hostname_set");
      const message: unknown = JSON.parse(Buffer.from(response.body).toString());
      expect(message).toEqual({ spec: expected, lastUpdated: String(key.lcut) });
    }
  });
});

describe("gRPC: Connect on the HTTP port", () => {
  test.each([
    [
      "an unknown key",
      { sdkKey: "secret-unknown" },
      403,
      { code: "permission_denied", message: "Unauthorized" },
    ],
    ["a malformed key", { sdkKey: "no key" }, 400, { code: "invalid_argument" }],
    ["no key", {}, 400, { code: "invalid_argument", message: "sdkKey is missing" }],
  ] as const)("%s is an error", async (_, request, status, error) => {
    const response = await post(GET_CONFIG_SPEC, json, JSON.stringify(request));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject(error);
  });

  test("StreamConfigSpec sends the spec at once, then each new one", async () => {
    const sdkKey = "secret-http-stream";
    const first = publishKey(shared.upstream, sdkKey);
    const type = { "content-type": "application/connect+json" };
    const request = new Uint8Array(rpcFrame(JSON.stringify({ sdkKey, version: "v2" })));
    const response = await post(STREAM_CONFIG_SPEC, type, request);
    expect([response.status, response.headers.get("content-type")]).toEqual([
      200,
      "application/connect+json",
    ]);
    expect(response.headers.get("x-sfp-hostname")).toBe("no_hostname_set");
    const frames = new FrameQueue();
    const reader = response.body?.getReader();
    const reading = (async () => {
      for (let read = await reader?.read(); read?.value !== undefined; read = await reader?.read()) {
        frames.push(read.value);
      }
    })();
    for (const number of [0, 1, 2]) {
      const { v2, lcut } = number === 0 ? first : publishKey(shared.upstream, sdkKey, number);
      const frame = await frames.next();
      const message: unknown = JSON.parse(String(frame?.data));
      expect(message).toEqual({ spec: v2, lastUpdated: String(lcut) });
    }
    await reader?.cancel();
    await reading;
  });

  test("serves gRPC-Web too", async () => {
    const request = new Uint8Array(rpcFrame(encodeRequest({ sdkKey: key.sdkKey, version: 2 })));
    const response = await post(GET_CONFIG_SPEC, { "content-type": "application/grpc-web+proto" }, request);
    const frames = new FrameQueue();
    frames.push(new Uint8Array(await response.arrayBuffer()));
    const message = await frames.next();
    expect(decodeFields(message?.data ?? Buffer.alloc(0))).toEqual({ 1: key.v2, 2: key.lcut });
  });

  test("a wrong method gets an Allow header", async () => {
    const response = await fetch(`${shared.relay.httpUrl}${STREAM_CONFIG_SPEC}`);
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  });

  test.each([
    [STREAM_CONFIG_SPEC, "application/json", "application/connect+json"],
    [STREAM_CONFIG_SPEC, "application/x-www-form-urlencoded", "application/connect+json"],
    [GET_CONFIG_SPEC, "application/x-www-form-urlencoded", "application/json"],
    [GET_CONFIG_SPEC, "application/connect+json", "application/json"],
    [STREAM_CONFIG_SPEC, "application/grpc", "gRPC is served on the gRPC ports"],
    [GET_CONFIG_SPEC, "application/grpc+proto", "gRPC is served on the gRPC ports"],
  ])("%s as %s is 415, and says what is expected: %s", async (path, type, expected) => {
    const response = await post(path, { "content-type": type }, JSON.stringify({ sdkKey: key.sdkKey }));
    expect(response.status).toBe(415);
    expect(await response.json()).toMatchObject({
      ...{ code: 415, reason: "Unsupported Media Type", message: expect.stringContaining(expected) },
    });
  });

  test("a stream without an envelope is an error that names it", async () => {
    const type = { "content-type": "application/connect+json" };
    const response = await post(STREAM_CONFIG_SPEC, type, JSON.stringify({ sdkKey: key.sdkKey }));
    const text = await response.text();
    expect(text).toContain('"code":"invalid_argument","message":"the request has no envelope');
  });
});
