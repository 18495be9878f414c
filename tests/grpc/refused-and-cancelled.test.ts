import { afterAll, beforeAll, expect, test } from "bun:test";
import { CANCEL } from "../support/clients/http2-frames.ts";
import { STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { rpcFrame } from "../support/clients/rpc-frames.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { StreamConnection } from "../support/clients/stream-connection.ts";
import { eventually, within } from "../support/common/wait.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const KEY = "secret-refused-and-cancelled";
const NO_ERROR = 0;
const PROTOCOLS = ["application/grpc", "application/grpc-web+proto", "application/connect+proto"] as const;

let upstream: Upstream;
let managed: ManagedRelay;
beforeAll(async () => {
  upstream = await startUpstream();
  publishKey(upstream, KEY);
  managed = await startManagedRelay({ upstream, mode: "grpc-and-http" });
});
afterAll(async () => {
  await managed[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

const openOnHttp = (type: string, message: Uint8Array) =>
  fetch(`${managed.relay.httpUrl}${STREAM_CONFIG_SPEC}`, {
    method: "POST",
    headers: { "content-type": type },
    body: new Uint8Array(rpcFrame(message)),
  });

test("streams for a version that does not exist count as rejected, over every protocol", async () => {
  const message = encodeRequest({ sdkKey: KEY, version: 9 });
  using connection = await StreamConnection.open(managed.relay.grpcUrl);
  for (const type of PROTOCOLS) {
    const ended = Promise.withResolvers<string>();
    connection.open(message, { onEnd: ended.resolve }, { headers: { "content-type": type } });
    expect(await within(ended.promise, 10_000, "the end of the stream")).toBe("ended");
  }
  for (const type of PROTOCOLS.slice(1)) {
    const response = await openOnHttp(type, message);
    expect(await response.text()).toMatch(/permission_denied|grpc-status: 7\r\n/);
  }
  await eventually(async () => {
    const samples = await readMetrics(managed.relay);
    const refused = sumOf(samples, "GrpcStreamRefused_count_total", { code: "permission_denied" });
    const unauthorized = sumOf(samples, "GrpcStreamingStreamUnauthorized_count_total");
    expect([refused, unauthorized]).toEqual([5, 5]);
  });
});

test("a client that resets its stream is no unexpected error, whatever its error code", async () => {
  using connection = await StreamConnection.open(managed.relay.grpcUrl);
  const message = encodeRequest({ sdkKey: KEY, version: 2 });
  for (const type of PROTOCOLS) {
    const coding = type.includes("connect") ? "connect-content-encoding" : "grpc-encoding";
    for (const [errorCode, more] of [
      [NO_ERROR, {}],
      [CANCEL, {}],
      [NO_ERROR, { [coding]: "gzip" }],
      [CANCEL, { [coding]: "gzip" }],
    ] as const) {
      const served = Promise.withResolvers<void>();
      const onData = () => served.resolve();
      const id = connection.open(message, { onData }, { headers: { "content-type": type, ...more } });
      await within(served.promise, 10_000, "a message");
      connection.reset(id, errorCode);
    }
  }
  await eventually(async () => expect((await managed.status()).traffic.streams).toBe(0));
  expect(managed.relay.output()).not.toContain("unexpected error");
});

test.each(["constructor", "toString", "__proto__"])(
  "a content type with the name of a property of objects is as unknown as any other: %s",
  async (type) => {
    const response = await openOnHttp(type, encodeRequest({ sdkKey: KEY, version: 2 }));
    expect(response.status).toBe(415);
    expect(managed.relay.output()).not.toContain("unexpected error");
  },
);
