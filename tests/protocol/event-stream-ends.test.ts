import { expect } from "bun:test";
import { once } from "node:events";
import { connect } from "node:net";
import { status as code } from "@grpc/grpc-js";
import { curl } from "../support/clients/curl.ts";
import { EventStream, type EventStreamOptions } from "../support/clients/event-stream.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { rawGet } from "../support/clients/raw-get.ts";
import { describeWith, testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { startTlsRelay } from "../support/relay/tls-relay.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const { afterEach, describe, test } = testsWith("openssl");

const PATIENT = { withinMs: 15_000 };
const MAX_STREAMS = 4;
const SDK_KEY = "secret-event-ends";
const PATH = `/v2/stream_config_specs/${SDK_KEY}`;

let opened = new DisposableStack();
afterEach(() => {
  opened.dispose();
  opened = new DisposableStack();
});
const open = async (url: string, options: EventStreamOptions = {}) =>
  opened.use(await EventStream.open(url, options));

/** A relay that allows four streams, and a client that counts. */
async function startSmallRelay() {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const { relay, status: readStatus } = stack.use(
    await startManagedRelay({ upstream, args: ["-g", String(MAX_STREAMS)] }),
  );
  const key = publishKey(upstream, SDK_KEY);
  const url = `${relay.httpUrl}${PATH}`;
  const owned = stack.move();
  return {
    ...{ upstream, relay, key, url, readStatus },
    /** No stream is counted any more: as many as allowed can be opened. */
    expectNoneCounted: async () => {
      await eventually(async () => expect((await readStatus()).traffic.streams).toBe(0), PATIENT);
      for (let number = 0; number < MAX_STREAMS; number++) {
        using stream = await EventStream.open(url);
        await stream.next();
      }
      await eventually(async () => expect((await readStatus()).traffic.streams).toBe(0), PATIENT);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

describe("Watching over HTTP: the limit of streams", () => {
  test("counts all protocols together. Beyond it is 503 with Retry-After", async () => {
    await using small = await startSmallRelay();
    using grpc = new GrpcClient(small.relay.grpcUrl);
    using stream = grpc.streamConfigSpec({ sdkKey: SDK_KEY, version: 2 });
    await stream.next();
    const streams = [await open(small.url), await open(small.url), await open(small.url)];
    const { status: refusal, headers, body } = await rawGet(small.url);
    expect([refusal, headers["retry-after"]]).toEqual([503, "5"]);
    expect(JSON.parse(body.toString())).toEqual({
      ...{ code: 503, reason: "Service Unavailable", message: "Max concurrent streams reached" },
    });
    using refused = grpc.streamConfigSpec({ sdkKey: SDK_KEY, version: 2 });
    expect((await refused.status()).code).toBe(code.RESOURCE_EXHAUSTED);
    streams[0]?.[Symbol.dispose]();
    await eventually(async () => expect((await open(small.url)).status).toBe(200));
  });

  test.each([
    ["closes the connection", (socket: ReturnType<typeof connect>) => socket.destroy()],
    ["resets the connection", (socket: ReturnType<typeof connect>) => socket.resetAndDestroy()],
    ["sends no more", (socket: ReturnType<typeof connect>) => socket.end()],
  ])("a client that %s at any time is no longer counted", async (_, leave) => {
    await using small = await startSmallRelay();
    const { hostname, port } = new URL(small.url);
    for (const awaited of ["", "HTTP/1.1 200", "data: "]) {
      for (let number = 0; number < MAX_STREAMS; number++) {
        const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
        socket.on("error", () => {});
        await once(socket, "connect");
        socket.write(`GET ${PATH} HTTP/1.1\r\nHost: a\r\n\r\n`);
        let text = "";
        for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
          text += String(chunk);
          if (awaited === "" || text.includes(awaited)) break;
        }
        leave(socket);
      }
      await small.expectNoneCounted();
    }
  });

  test("a client that leaves while upstream is asked, or is refused, is not counted", async () => {
    await using small = await startSmallRelay();
    const restore = small.upstream.misbehave({ kind: "hang" }, forKey("secret-hanging"));
    const urls = ["secret-hanging", "secret-unknown", "no key"].map(
      (key) => `${small.relay.httpUrl}/v2/stream_config_specs/${encodeURIComponent(key)}`,
    );
    for (const url of urls) {
      for (let number = 0; number < MAX_STREAMS; number++) {
        await fetch(url, { signal: AbortSignal.timeout(200) }).catch(() => {});
      }
    }
    restore();
    await small.expectNoneCounted();
  });
});

describe("Watching over HTTP: the end of a stream", () => {
  test("comes when the SDK key was revoked and cleared. The next request is 401", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, SDK_KEY);
    await using relay = await startRelayProcess({ upstream, args: ["--clear-datastore-on-unauthorized"] });
    const streams = [
      await open(`${relay.httpUrl}${PATH}`),
      await open(`${relay.httpUrl}${PATH}`, { headers: { "accept-encoding": "gzip" } }),
    ];
    for (const stream of streams) await stream.next();
    upstream.forget(SDK_KEY);
    for (const stream of streams) await stream.ended();
    expect((await rawGet(`${relay.httpUrl}${PATH}`)).status).toBe(401);
  });

  test.each([
    ["HTTP/1.1", "http", {}],
    ["HTTP/1.1 over TLS", "https", {}],
    ["HTTP/2", "https", { isHttp2: true }],
  ] as const)("comes at SIGTERM, by %s", async (_, protocol, version) => {
    await using small = await startTlsRelay();
    const url = `${small.relay.urlOf(protocol)}/v2/stream_config_specs/${small.held.sdkKey}`;
    const stream = await open(url, version);
    await stream.next();
    const exited = small.relay.stop();
    await stream.ended();
    expect(await exited).toBe(0);
  });

  test("upstream's failures do not end it", async () => {
    await using small = await startSmallRelay();
    const stream = await open(small.url);
    await stream.next();
    const restore = small.upstream.misbehave(status(500), forKey(SDK_KEY));
    const polls = () => small.upstream.requests.filter(forKey(SDK_KEY).when).length;
    const polled = polls();
    await eventually(() => expect(polls()).toBeGreaterThan(polled + 1), PATIENT);
    restore();
    const { lcut } = publishKey(small.upstream, SDK_KEY, 1);
    expect((await stream.next()).id).toBe(String(lcut));
  });
});

describeWith("curl")("Watching over HTTP: curl", () => {
  test.each([[], ["--compressed"]])("reads a whole body that ends at SIGTERM, with %p", async (...more) => {
    await using small = await startSmallRelay();
    const reading = curl("-N", ...more, small.url);
    await eventually(async () => {
      expect(sumOf(await readMetrics(small.relay), "GrpcStreamingStreamedResponse_count_total")).toBe(1);
    });
    expect(await small.relay.stop()).toBe(0);
    const { exitCode, body } = await reading;
    expect(exitCode).toBe(0);
    expect(Buffer.from(body).toString()).toEndWith(`data: ${small.key.v2}\n\n`);
  });
});

test("Watching over HTTP: requests are counted when they begin, and streams like those over gRPC", async () => {
  await using small = await startSmallRelay();
  const stream = await EventStream.open(small.url, { headers: { "accept-encoding": "gzip" } });
  await stream.next();
  const labels = { path: "/v2/stream_config_specs", status_code: "200", content_encoding: "gzip" };
  const feed = { path: "/v2/download_config_specs" };
  await eventually(async () => {
    const samples = await readMetrics(small.relay);
    expect(sumOf(samples, "HttpServerRequestSuccess_count_total", labels)).toBe(1);
    expect(sumOf(samples, "GrpcEstimatedActiveStreams_gauge")).toBe(1);
    expect(sumOf(samples, "GrpcStreamingStreamedInitialized_count_total", feed)).toBe(1);
    expect(sumOf(samples, "GrpcStreamingStreamedResponse_count_total", feed)).toBe(1);
  });
  stream[Symbol.dispose]();
  await eventually(async () => {
    const samples = await readMetrics(small.relay);
    expect(sumOf(samples, "GrpcEstimatedActiveStreams_gauge")).toBe(0);
    expect(sumOf(samples, "GrpcStreamingStreamDisconnected_count_total", feed)).toBe(1);
    expect(sumOf(samples, "HttpServerRequestSuccess_count_total", labels)).toBe(1);
  });
});
