import { beforeAll, describe, expect, test } from "bun:test";
import { H2cClient } from "../support/clients/h2c-client.ts";
import { GET_CONFIG_SPEC, STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { allFrames, FrameQueue, rpcFrame } from "../support/clients/rpc-frames.ts";
import { decodeFields, encodeRequest } from "../support/clients/spec-messages.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { type PublishedKey, publishKey } from "../support/upstream/published-key.ts";

const NO_UPDATE = '{"has_updates":false}';
const TRAILERS = 0x80;
const END_OF_STREAM = 2;
const empty = Buffer.alloc(0);
const shared = shareRelay();
let key: PublishedKey;
beforeAll(() => {
  key = publishKey(shared.upstream, "secret-web");
});

const connect = () => new H2cClient(shared.relay.grpcUrl);
const web = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };

/** Returns the frames of a complete body. */
function framesOf(body: Uint8Array) {
  const queue = new FrameQueue();
  queue.push(body);
  queue.end();
  return allFrames(queue);
}

describe("gRPC: gRPC-Web over h2c on the gRPC port", () => {
  test("getConfigSpec: a message, then the trailers in the body", async () => {
    using client = connect();
    const request = encodeRequest({ sdkKey: key.sdkKey, version: 2 });
    const { status, headers, body } = await client.post(GET_CONFIG_SPEC, web, rpcFrame(request));
    expect(status).toBe(200);
    expect(headers["content-type"]).toStartWith("application/grpc-web");
    expect(headers["x-sfp-hostname"]).toBe("no_hostname_set");
    const [message, trailers, ...more] = await framesOf(body);
    expect(more).toEqual([]);
    expect(message?.flags).toBe(0);
    expect(decodeFields(message?.data ?? empty)).toEqual({ 1: key.v2, 2: key.lcut });
    expect(trailers?.flags).toBe(TRAILERS);
    expect(trailers?.data.toString()).toMatch(/^grpc-status: ?0\b/m);
  });

  test("StreamConfigSpec: the spec at once, then each new one", async () => {
    const sdkKey = "secret-web-stream";
    const first = publishKey(shared.upstream, sdkKey);
    using client = connect();
    using call = client.open(STREAM_CONFIG_SPEC, web, rpcFrame(encodeRequest({ sdkKey, version: 2 })));
    const messages = [decodeFields((await call.frames.next())?.data ?? empty)];
    const second = publishKey(shared.upstream, sdkKey, 1);
    messages.push(decodeFields((await call.frames.next())?.data ?? empty));
    expect(messages).toEqual([first, second].map(({ v2, lcut }) => ({ 1: v2, 2: lcut })));
  });

  test.each([GET_CONFIG_SPEC, STREAM_CONFIG_SPEC])(
    "an unknown key is PERMISSION_DENIED: %s",
    async (path) => {
      using client = connect();
      const request = rpcFrame(encodeRequest({ sdkKey: "secret-unknown" }));
      const { headers, body } = await client.post(path, web, request);
      const inBody = Buffer.concat((await framesOf(body)).map(({ data }) => data)).toString();
      const said = `${inBody}\r\ngrpc-status: ${headers["grpc-status"]}\r\ngrpc-message: ${headers["grpc-message"]}`;
      expect(said).toMatch(/^grpc-status: ?7\b/m);
      expect(said).toMatch(/^grpc-message: ?Unauthorized\b/m);
    },
  );
});

describe("gRPC: Connect over h2c on the gRPC port", () => {
  test.each([
    ["application/json", (sdkKey: string) => JSON.stringify({ sdkKey, version: "v2" })],
    ["application/proto", (sdkKey: string) => encodeRequest({ sdkKey, version: 2 })],
  ] as const)("getConfigSpec as %s", async (type, request) => {
    using client = connect();
    const { status, headers, body } = await client.post(
      GET_CONFIG_SPEC,
      { "content-type": type },
      request(key.sdkKey),
    );
    expect([status, headers["content-type"]]).toEqual([200, type]);
    expect(headers["x-sfp-hostname"]).toBe("no_hostname_set");
    const message: unknown = type === "application/json" ? JSON.parse(body.toString()) : decodeFields(body);
    const asJson = { spec: key.v2, lastUpdated: String(key.lcut) };
    expect(message).toEqual(type === "application/json" ? asJson : { 1: key.v2, 2: key.lcut });
  });

  test.each([
    ["application/connect+json", (sdkKey: string) => JSON.stringify({ sdkKey, version: 2 })],
    ["application/connect+proto", (sdkKey: string) => encodeRequest({ sdkKey, version: 2 })],
  ] as const)("StreamConfigSpec as %s", async (type, request) => {
    const sdkKey = `secret-connect-${type.endsWith("json") ? "json" : "proto"}`;
    const first = publishKey(shared.upstream, sdkKey);
    using client = connect();
    using call = client.open(STREAM_CONFIG_SPEC, { "content-type": type }, rpcFrame(request(sdkKey)));
    const next = async () => {
      const { flags, data } = (await call.frames.next()) ?? { flags: END_OF_STREAM, data: empty };
      if (type === "application/connect+json")
        return { flags, message: JSON.parse(data.toString()) as unknown };
      const { 1: spec, 2: lcut } = decodeFields(data);
      return { flags, message: { spec, lastUpdated: String(lcut) } };
    };
    const expected = ({ v2, lcut }: PublishedKey) => ({
      flags: 0,
      message: { spec: v2, lastUpdated: String(lcut) },
    });
    expect(await next()).toEqual(expected(first));
    const second = publishKey(shared.upstream, sdkKey, 1);
    expect(await next()).toEqual(expected(second));
  });

  test("sinceTime equal: no update", async () => {
    using client = connect();
    const json = { "content-type": "application/json" };
    for (const sinceTime of [key.lcut, String(key.lcut)]) {
      const request = JSON.stringify({ sdkKey: key.sdkKey, version: "v2", sinceTime });
      const { body } = await client.post(GET_CONFIG_SPEC, json, request);
      const message: unknown = JSON.parse(body.toString());
      expect(message).toEqual({ spec: NO_UPDATE, lastUpdated: String(key.lcut) });
    }
  });

  test.each([
    ["an unknown key", "secret-unknown", 403, { code: "permission_denied", message: "Unauthorized" }],
    ["a malformed key", "no key", 400, { code: "invalid_argument" }],
  ] as const)("%s: its error", async (_, sdkKey, status, error) => {
    using client = connect();
    const request = JSON.stringify({ sdkKey });
    const unary = await client.post(GET_CONFIG_SPEC, { "content-type": "application/json" }, request);
    expect(unary.status).toBe(status);
    const said: unknown = JSON.parse(unary.body.toString());
    expect(said).toMatchObject(error);
    const type = { "content-type": "application/connect+json" };
    const [end] = await framesOf((await client.post(STREAM_CONFIG_SPEC, type, rpcFrame(request))).body);
    expect(end?.flags).toBe(END_OF_STREAM);
    const ended: unknown = JSON.parse(String(end?.data));
    expect(ended).toMatchObject({ error });
  });
});
