import { beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { status as code } from "@grpc/grpc-js";
import { H2cClient } from "../support/clients/h2c-client.ts";
import { GET_CONFIG_SPEC, RawGrpcClient, STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { decodeFields, encodeRequest, numberField, textField } from "../support/clients/spec-messages.ts";
import { failureOf } from "../support/common/failure.ts";
import { padTo } from "../support/common/padding.ts";
import { runRelay, startRelayProcess } from "../support/relay/relay-process.ts";
import { shareRelay } from "../support/relay/shared-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT, type PublishedKey, publishKey, versionOf } from "../support/upstream/published-key.ts";

const NO_UPDATE = '{"has_updates":false}';
const shared = shareRelay();
let key: PublishedKey;
beforeAll(() => {
  key = publishKey(shared.upstream, "secret-grpc");
});

const answerTo = async (request: Buffer, path = GET_CONFIG_SPEC) => {
  using client = new RawGrpcClient(shared.relay.grpcUrl);
  return decodeFields((await client.unary(path, request)).message);
};

/** The first message of a server stream. */
const firstMessage = (client: RawGrpcClient, request: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const stream = client.stream(STREAM_CONFIG_SPEC, request);
    stream.on("error", reject);
    stream.once("data", (message: Buffer) => {
      resolve(message);
      stream.cancel();
    });
  });

describe("gRPC: names and numbers on the wire", () => {
  test("sdkKey = 1, version = 3, zstdDictId = 4, sinceTime = 12; spec = 1, lastUpdated = 2", async () => {
    const request = { sdkKey: key.sdkKey, version: 2, zstdDictId: "dictionary", sinceTime: key.lcut - 1 };
    expect(await answerTo(encodeRequest(request))).toEqual({ 1: key.v2, 2: key.lcut });
    const again = encodeRequest({ ...request, sinceTime: key.lcut });
    expect(await answerTo(again)).toEqual({ 1: NO_UPDATE, 2: key.lcut });
  });

  test("StreamConfigSpec has the same messages", async () => {
    using client = new RawGrpcClient(shared.relay.grpcUrl);
    const message = await firstMessage(client, encodeRequest({ sdkKey: key.sdkKey, version: 2 }));
    expect(decodeFields(message)).toEqual({ 1: key.v2, 2: key.lcut });
  });

  test("ignores unknown fields", async () => {
    const request = [
      encodeRequest({ sdkKey: key.sdkKey, version: 2 }),
      numberField(99, 7),
      textField(2, "x"),
    ];
    expect(await answerTo(Buffer.concat(request))).toEqual({ 1: key.v2, 2: key.lcut });
  });

  test.each([
    "/statsig_forward_proxy.StatsigForwardProxy/GetConfigSpec",
    "/statsig_forward_proxy.StatsigForwardProxy/streamConfigSpec",
    "/StatsigForwardProxy/getConfigSpec",
    "/statsig_forward_proxy.statsigforwardproxy/getConfigSpec",
  ])("getConfigSpec begins with a lower-case g on the wire: %s is UNIMPLEMENTED", async (path) => {
    const call = answerTo(encodeRequest({ sdkKey: key.sdkKey }), path);
    expect(await failureOf(call)).toMatchObject({ code: code.UNIMPLEMENTED });
  });

  test.each([
    ["absent", undefined, "v1"],
    ["0", 0, "v1"],
    ["1", 1, "v1"],
    ["2", 2, "v2"],
  ] as const)("version %s", async (_, version, expected) => {
    const { sdkKey } = key;
    const request = encodeRequest({ sdkKey, ...(version !== undefined && { version }) });
    expect((await answerTo(request))[1]).toBe(key[expected]);
    using client = new RawGrpcClient(shared.relay.grpcUrl);
    expect(decodeFields(await firstMessage(client, request))[1]).toBe(key[expected]);
  });

  test.each([3, 99, -1])("version %d does not exist: PERMISSION_DENIED", async (version) => {
    const request = encodeRequest({ sdkKey: key.sdkKey, version });
    const refused = { code: code.PERMISSION_DENIED, details: "Unauthorized" };
    expect(await failureOf(answerTo(request))).toMatchObject(refused);
    using client = new RawGrpcClient(shared.relay.grpcUrl);
    expect(await failureOf(firstMessage(client, request))).toMatchObject(refused);
  });

  test.each([2n ** 63n, 2n ** 64n - 1n])("sinceTime %d is later than any version", async (sinceTime) => {
    const request = encodeRequest({ sdkKey: key.sdkKey, version: 2, sinceTime });
    expect(await answerTo(request)).toEqual({ 1: NO_UPDATE, 2: key.lcut });
  });

  test("spec is the JSON text of upstream, lastUpdated is its lcut and not the body's time", async () => {
    const sdkKey = "secret-grpc-lcut";
    const text = `${JSON.stringify(specV2({ lcut: FIRST_LCUT, color: 'ünïcode "€" 🚀' }), undefined, 1)}\n`;
    shared.upstream.publish(sdkKey, "v2", text, FIRST_LCUT + 5);
    expect(await answerTo(encodeRequest({ sdkKey, version: 2 }))).toEqual({ 1: text, 2: FIRST_LCUT + 5 });
  });
});

describe("gRPC: response metadata x-sfp-hostname", () => {
  const hostnamesOf = async (url: string): Promise<unknown[]> => {
    using client = new RawGrpcClient(url);
    const request = encodeRequest({ sdkKey: key.sdkKey, version: 2 });
    const { metadata } = await client.unary(GET_CONFIG_SPEC, request);
    const stream = client.stream(STREAM_CONFIG_SPEC, request).on("error", () => undefined);
    const streamed = await new Promise<typeof metadata>((resolve) => stream.once("metadata", resolve));
    stream.cancel();
    return [metadata, streamed].map((each) => each.get("x-sfp-hostname"));
  };

  test("is HOSTNAME", async () => {
    const { upstream } = shared;
    await using relay = await startRelayProcess({ upstream, env: { HOSTNAME: "relay-7.example" } });
    expect(await hostnamesOf(relay.grpcUrl)).toEqual([["relay-7.example"], ["relay-7.example"]]);
  });

  test("is no_hostname_set without it", async () => {
    expect(await hostnamesOf(shared.relay.grpcUrl)).toEqual([["no_hostname_set"], ["no_hostname_set"]]);
  });
});

describe("gRPC: large and compressed messages", () => {
  test("a client with the default limit of 4 MiB receives a spec of 3.9 MB", async () => {
    const [sdkKey, bytes] = ["secret-grpc-large", 3_900_000];
    const { lcut } = versionOf(sdkKey);
    const text = JSON.stringify(padTo(specV2({ lcut }), bytes));
    expect(text.length).toBe(bytes);
    shared.upstream.publish(sdkKey, "v2", text, lcut);
    const request = encodeRequest({ sdkKey, version: 2 });
    expect(await answerTo(request)).toEqual({ 1: text, 2: lcut });
    using client = new RawGrpcClient(shared.relay.grpcUrl);
    expect(decodeFields(await firstMessage(client, request))).toEqual({ 1: text, 2: lcut });
  });

  test("gzip requests of grpc-js are read", async () => {
    using client = new RawGrpcClient(shared.relay.grpcUrl, { "grpc.default_compression_algorithm": 2 });
    const request = encodeRequest({ sdkKey: key.sdkKey, version: 2, zstdDictId: "x".repeat(2_000) });
    const { message } = await client.unary(GET_CONFIG_SPEC, request);
    expect(decodeFields(message)).toEqual({ 1: key.v2, 2: key.lcut });
    expect(decodeFields(await firstMessage(client, request))).toEqual({ 1: key.v2, 2: key.lcut });
  });

  test.each([GET_CONFIG_SPEC, STREAM_CONFIG_SPEC])(
    "hand-written gzip requests are read: %s",
    async (path) => {
      using client = new H2cClient(shared.relay.grpcUrl);
      const body = rpcFrame(gzipSync(encodeRequest({ sdkKey: key.sdkKey, version: 2 })), 1);
      const headers = { "content-type": "application/grpc", te: "trailers", "grpc-encoding": "gzip" };
      using call = client.open(path, headers, body);
      const frame = await call.frames.next();
      expect(frame?.flags).toBe(0);
      expect(decodeFields(frame?.data ?? Buffer.alloc(0))).toEqual({ 1: key.v2, 2: key.lcut });
    },
  );
});

describe("gRPC: connections", () => {
  test("HTTP/2 pings get a response, also when idle and when frequent", async () => {
    using client = new H2cClient(shared.relay.grpcUrl);
    for (let number = 0; number < 20; number++) await client.ping();
    const headers = { "content-type": "application/grpc", te: "trailers" };
    const body = rpcFrame(encodeRequest({ sdkKey: key.sdkKey }));
    const { trailers } = await client.post(GET_CONFIG_SPEC, headers, body);
    expect(trailers["grpc-status"]).toBe("0");
  });

  test("plaintext on 50051 by default, TLS on 50052", async () => {
    const { stdout } = await runRelay(["--help"]);
    expect(stdout).toMatch(/--grpc-port[^\n]*(\n[^-\n]*)?50051/);
    expect(stdout).toMatch(/--grpcs-port[^\n]*(\n[^-\n]*)?50052/);
  });
});
