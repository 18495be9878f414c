import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { type ChannelCredentials, credentials } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import {
  CANCEL,
  END_HEADERS,
  FRAME,
  frame,
  requestHeaders,
  uint32,
} from "../support/clients/http2-frames.ts";
import { LoadBalancer, RELAY_NAME } from "../support/clients/load-balancers.ts";
import { STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { describeWith, testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { Authority } from "../support/relay/pki.ts";
import { startRelayWithTls } from "../support/relay/relay-with-tls.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const LONG_STREAMS = 30;
/**
 * 20 a second for 3 minutes, sent faster than that: a limit per minute counts all of them. The HTTP/2 library of Deno ends a connection by
 * a limit that cannot be set: after 800 to 1,000 streams that the client resets, 33 more a second.
 */
const SHORT_STREAMS = isOnDeno ? 600 : 3_600;
const AT_ONCE = 20;

/** Opens short streams beside long ones on one connection. Returns how many of each were lost. */
async function lostStreams(client: GrpcClient, sdkKey: string) {
  const request = { sdkKey, version: 2 } as const;
  const long = Array.from({ length: LONG_STREAMS }, () => client.streamConfigSpec(request));
  await Promise.all(long.map((stream) => stream.next()));
  let lostLong = 0;
  for (const stream of long) void stream.status(600_000).then(() => lostLong++);
  let lostShort = 0;
  const short = async () => {
    using stream = client.streamConfigSpec(request);
    await stream.next().catch(() => lostShort++);
  };
  const startedAt = performance.now();
  for (let done = 0; done < SHORT_STREAMS; done += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, short));
  }
  const perSecond = SHORT_STREAMS / ((performance.now() - startedAt) / 1_000);
  // Streams that were cut by now would have been reported before this response.
  await client.checkHealth();
  const lost = { long: lostLong, short: lostShort };
  for (const stream of long) stream.cancel();
  return { lost, perSecond };
}

describeWith("haproxy", "openssl")("clients that share an HTTP/2 connection, and end their streams", () => {
  test.each(["grpc", "grpcs", "grpc behind haproxy"] as const)(
    "none is lost: %s",
    async (where) => {
      await using stack = new AsyncDisposableStack();
      const upstream = stack.use(await startUpstream());
      const { sdkKey } = publishKey(upstream, "secret-shared");
      const authority = stack.use(new Authority());
      const server = authority.issue({ altNames: `DNS:localhost,DNS:${RELAY_NAME}` });
      const relay = stack.use(
        await startRelayWithTls({ upstream, server, args: ["--enforce-tls", "false"] }),
      );
      let url = relay.urlOf(where === "grpcs" ? "grpcs" : "grpc").replace("127.0.0.1", "localhost");
      let channel: ChannelCredentials = credentials.createInsecure();
      if (where === "grpcs") channel = credentials.createSsl(readFileSync(authority.caPath));
      if (where === "grpc behind haproxy") {
        const relayPort = (protocol: string) => Number(new URL(relay.urlOf(protocol)).port);
        const options = { kind: "haproxy", transport: "plaintext", authority, relayPort } as const;
        url = stack.use(await LoadBalancer.start(options)).urlOf("grpc");
      }
      using client = new GrpcClient(url, channel);
      const { lost, perSecond } = await lostStreams(client, sdkKey);
      console.log(`${where}: ${SHORT_STREAMS} short streams at ${Math.round(perSecond)}/s`);
      expect(lost).toEqual({ long: 0, short: 0 });
      expect(relay.output()).not.toContain("limit reached");
    },
    180_000,
  );
});

describe.each(["https", "grpc", "grpcs"] as const)("requests cancelled on the %s port", (protocol) => {
  let started: TlsRelay;
  const LIMIT = "http2-max-resets-per-min";
  const MAX = 10;
  beforeAll(async () => {
    started = await startTlsRelay([`--${LIMIT}`, String(MAX)]);
  });
  afterAll(() => started[Symbol.asyncDispose]());

  const cancel = (client: RawHttp2, streamId: number) =>
    client.send(frame(FRAME.rstStream, 0, streamId, uint32(CANCEL)));
  const begin = (client: RawHttp2, streamId: number) => {
    const headers = requestHeaders("POST", STREAM_CONFIG_SPEC, { "content-type": "application/grpc" });
    client.send(frame(FRAME.headers, END_HEADERS, streamId, headers));
  };

  test("after their response do not count", async () => {
    using client = await RawHttp2.open(started.relay.urlOf(protocol));
    for (let number = 0; number < 3 * MAX; number++) {
      const streamId = 2 * number + 1;
      client.openSpecStream(streamId, started.held.sdkKey);
      const isData = (one: { readonly type: number; readonly streamId: number }) =>
        one.type === FRAME.data && one.streamId === streamId;
      await client.received("specs", isData);
      cancel(client, streamId);
    }
    client.openSpecStream(6 * MAX + 1, started.held.sdkKey);
    await client.received("specs", ({ type, streamId }) => type === FRAME.data && streamId === 6 * MAX + 1);
    expect(started.reached(LIMIT)).toBe(0);
  });

  test("after a long wait do not count", async () => {
    using client = await RawHttp2.open(started.relay.urlOf(protocol));
    const ids = Array.from({ length: 3 * MAX }, (_, number) => 2 * number + 1);
    for (const id of ids) begin(client, id);
    client.send(frame(FRAME.ping, 0, 0, Buffer.alloc(8)));
    // The relay has read the requests, and their time runs.
    await client.received("PING", ({ type }) => type === FRAME.ping);
    await Bun.sleep(1_500);
    for (const id of ids) cancel(client, id);
    client.openSpecStream(6 * MAX + 1, started.held.sdkKey);
    await client.received("specs", ({ type, streamId }) => type === FRAME.data && streamId === 6 * MAX + 1);
    expect(started.reached(LIMIT)).toBe(0);
  });

  test("at once, before a response, do count", async () => {
    using client = await RawHttp2.open(started.relay.urlOf(protocol));
    let number = 0;
    await eventually(
      () => {
        const streamId = 2 * number++ + 1;
        begin(client, streamId);
        setTimeout(() => cancel(client, streamId), 20);
        expect(client.connection.isClosed).toBe(true);
      },
      { withinMs: 20_000, everyMs: 40 },
    );
    await eventually(() => expect(started.reached(LIMIT)).toBe(1), { withinMs: 15_000 });
  });
});
