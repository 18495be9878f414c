import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { status as code, credentials } from "@grpc/grpc-js";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { ACK, END_STREAM, FRAME, frame } from "../support/clients/http2-frames.ts";
import { RawGrpcClient, STREAM_CONFIG_SPEC } from "../support/clients/raw-grpc-client.ts";
import { RawHttp2 } from "../support/clients/raw-http2.ts";
import { encodeRequest } from "../support/clients/spec-messages.ts";
import { testsWith } from "../support/common/needs.ts";
import { padTo } from "../support/common/padding.ts";
import { unlessStalled } from "../support/common/stalls.ts";
import { TcpValve } from "../support/common/tcp-valve.ts";
import { eventually } from "../support/common/wait.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { startReloadedRelay } from "../support/relay/reloaded-relay.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { forKey, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const AGE_S = 2;
/** Connections end within 10 % of the age. */
const EARLIEST_MS = 0.9 * AGE_S * 1_000;
const GRACE_S = 6;
const AGED = [
  "--grpc-max-connection-age-in-s",
  String(AGE_S),
  "--grpc-max-connection-age-grace-in-s",
  String(GRACE_S),
];
const OLD = { code: code.UNAVAILABLE, details: "The connection has reached its maximum age" };
const WAIT_MS = 15_000;
const NO_ERROR = 0;
const ANY_STREAM = 0x7fffffff;

/** More than sockets buffer. */
const LARGE_BYTES = 16_000_000;
const LARGE_ALLOWED = ["--grpc-max-message-size-in-mb", "64"];
const LARGE_KEY = "secret-large";
const LARGE_LCUT = 1_700_000_000_000;
const LARGE = JSON.stringify(
  padTo(specV2({ sdkKey: LARGE_KEY, lcut: LARGE_LCUT, color: "red" }), LARGE_BYTES),
);

/** A connection must not become old while the relay fetches and prepares it. */
async function loadLarge({ grpcUrl }: RelayProcess): Promise<void> {
  using client = new GrpcClient(grpcUrl);
  await eventually(() => client.getConfigSpec({ sdkKey: LARGE_KEY, version: 2 }), { withinMs: WAIT_MS });
}

describe.each(["grpc", "grpcs"] as const)(
  "a connection to the %s port that reaches its maximum age",
  (protocol) => {
    let started: TlsRelay;
    beforeAll(async () => {
      started = await startTlsRelay(AGED);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const open = () => RawHttp2.open(started.relay.urlOf(protocol));
    const goaways = (client: RawHttp2) =>
      client.frames
        .filter(({ type }) => type === FRAME.goaway)
        .map(({ payload }) => ({
          last: payload.readUInt32BE(0),
          error: payload.readUInt32BE(4),
          data: payload.subarray(8).toString(),
        }));
    const endOf = (client: RawHttp2, streamId: number) =>
      client.received(
        `the end of ${streamId}`,
        (each) => each.streamId === streamId && (each.flags & END_STREAM) > 0,
      );

    /** The relay waits for a second until the client responds to the PING. */
    const readsBothGoaways = async () => {
      using client = await open();
      client.openSpecStream(1, started.held.sdkKey);
      const { payload: ping } = await client.received("PING", ({ type }) => type === FRAME.ping, WAIT_MS);
      expect(goaways(client)).toEqual([{ last: ANY_STREAM, error: NO_ERROR, data: "max_age" }]);
      client.openSpecStream(3, started.held.sdkKey);
      client.send(frame(FRAME.ping, ACK, 0, ping));
      await eventually(() => expect(goaways(client)).toHaveLength(2), { withinMs: WAIT_MS });
      client.openSpecStream(5, started.held.sdkKey);
      expect(goaways(client)[1]).toMatchObject({ last: 3, error: NO_ERROR });
      for (const streamId of [1, 3]) {
        await endOf(client, streamId);
        const data = client.frames.filter((each) => each.type === FRAME.data && each.streamId === streamId);
        const text = Buffer.concat(data.map(({ payload }) => payload)).toString();
        expect(text).toContain('"lastUpdated"');
        expect(text).toContain(`{"code":"unavailable","message":"${OLD.details}"}`);
      }
      await client.connection.closed(WAIT_MS);
      expect(client.frames.some((each) => each.type === FRAME.headers && each.streamId === 5)).toBe(false);
    };

    test.concurrent("gets GOAWAY twice: requests that it sent before it read the first one are served, later ones are not", async () => {
      await unlessStalled(500, readsBothGoaways);
    }, 90_000);

    test.concurrent("is closed at once if it has no streams", async () => {
      const openedAt = performance.now();
      using client = await open();
      const { payload: ping } = await client.received("PING", ({ type }) => type === FRAME.ping, WAIT_MS);
      client.send(frame(FRAME.ping, ACK, 0, ping));
      await client.connection.closed(WAIT_MS);
      expect(performance.now() - openedAt).toBeGreaterThan(EARLIEST_MS);
    }, 40_000);

    test.concurrent("is closed though its client does not answer, nor read", async () => {
      using client = await open();
      client.openSpecStream(1, started.held.sdkKey);
      await client.connection.closed(3 * WAIT_MS);
      expect(goaways(client).map(({ error }) => error)).toEqual([NO_ERROR, NO_ERROR]);
    }, 60_000);

    test.concurrent("serves grpc-js: streams end with UNAVAILABLE, and the next one is on a new connection", async () => {
      const tls = () => credentials.createSsl(readFileSync(started.caPath));
      const url = started.relay.urlOf(protocol).replace("127.0.0.1", "localhost");
      using client = new GrpcClient(url, protocol === "grpcs" ? tls() : credentials.createInsecure());
      for (let round = 0; round < 3; round++) {
        const openedAt = performance.now();
        using stream = client.streamConfigSpec({ sdkKey: started.held.sdkKey, version: 2 });
        await stream.next();
        expect(await stream.status(WAIT_MS)).toMatchObject(OLD);
        if (round > 0) expect(performance.now() - openedAt).toBeGreaterThan(EARLIEST_MS);
      }
    }, 60_000);
  },
);

describe("a connection that reaches its maximum age", () => {
  let upstream: Upstream;
  let relay: RelayProcess;
  beforeAll(async () => {
    upstream = await startUpstream();
    // PINGs continue during the grace period.
    relay = await startRelayProcess({
      upstream,
      args: [...AGED, ...LARGE_ALLOWED, "--http2-keepalive-time-in-s", "1"],
    });
    upstream.publish(LARGE_KEY, "v2", LARGE, LARGE_LCUT);
    await loadLarge(relay);
  });
  afterAll(async () => {
    await relay[Symbol.asyncDispose]();
    await upstream[Symbol.asyncDispose]();
  });

  test.concurrent("finishes a unary call in flight", async () => {
    const { sdkKey, lcut } = publishKey(upstream, "secret-unary");
    const gate = Promise.withResolvers<void>();
    upstream.misbehave({ kind: "none" }, { ...forKey(sdkKey), until: gate.promise });
    using client = new GrpcClient(relay.grpcUrl);
    using witness = client.watchHealth();
    await witness.next();
    const answer = client.getConfigSpec({ sdkKey, version: 2 });
    expect(await witness.status(WAIT_MS)).toMatchObject(OLD);
    gate.resolve();
    expect((await answer).message.lastUpdated).toBe(lcut);
  }, 40_000);

  test.concurrent("finishes a large message that its client is reading, and ends the stream then", async () => {
    await using link = await TcpValve.start(relay.grpcPort);
    using client = new GrpcClient(link.url);
    using aging = new GrpcClient(relay.grpcUrl);
    // From the same time on, so that its end shows when the other connection is old.
    using clock = aging.watchHealth();
    await clock.next();
    using stream = client.streamConfigSpec({ sdkKey: LARGE_KEY, version: 2 });
    await stream.metadata();
    link.close();
    await clock.status(WAIT_MS);
    await Bun.sleep(0.25 * AGE_S * 1_000);
    expect(stream.waiting).toBe(0);
    link.open();
    expect((await stream.next(WAIT_MS)).spec).toBe(LARGE);
    expect(await stream.status(WAIT_MS)).toMatchObject(OLD);
  }, 60_000);

  test.concurrent("ends its streams one after the other, over every protocol", async () => {
    const { sdkKey } = publishKey(upstream, "secret-many");
    using client = new GrpcClient(relay.grpcUrl);
    using gzip = new RawGrpcClient(relay.grpcUrl, { "grpc.default_compression_algorithm": 2 });
    const streams = Array.from({ length: 8 }, () => client.streamConfigSpec({ sdkKey, version: 2 }));
    for (const stream of streams) await stream.next();
    const ends = streams.map(async (stream) => {
      expect(await stream.status(WAIT_MS)).toMatchObject(OLD);
      return performance.now();
    });
    // Connect serves the compressed ones.
    const compressed = gzip.stream(
      STREAM_CONFIG_SPEC,
      encodeRequest({ sdkKey, version: 2, zstdDictId: "x".repeat(2_000) }),
    );
    compressed.on("error", () => {}).resume();
    const status = await new Promise((resolve) => compressed.once("status", resolve));
    expect(status).toMatchObject(OLD);
    const times = await Promise.all(ends);
    // Seven eighths of half the grace period are planned. This process may see the first end late.
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan((GRACE_S / 8) * 1_000);
  }, 60_000);

  test.concurrent("is cut after the grace period if its client does not read", async () => {
    const aged = ["--grpc-max-connection-age-in-s", "1", "--grpc-max-connection-age-grace-in-s", "3"];
    const args = [...aged, ...LARGE_ALLOWED];
    await using own = await startRelayProcess({ upstream, args });
    await loadLarge(own);
    await eventually(() => expect(own.openConnections("grpc")).toBe(0), { withinMs: WAIT_MS });
    await using link = await TcpValve.start(own.grpcPort);
    const openedAt = performance.now();
    using client = new GrpcClient(link.url);
    using stream = client.streamConfigSpec({ sdkKey: LARGE_KEY, version: 2 });
    await stream.metadata();
    link.close();
    expect(own.openConnections("grpc")).toBe(1);
    await eventually(() => expect(own.openConnections("grpc")).toBe(0), { withinMs: WAIT_MS });
    expect(performance.now() - openedAt).toBeGreaterThan(2_900);
  }, 60_000);

  /** Opens connections together, and expects each of them to become old at its own time. */
  const endApart = async (sdkKey: string) => {
    const openedAt = performance.now();
    using resources = new DisposableStack();
    const clients = Array.from({ length: 40 }, () => resources.use(new GrpcClient(relay.grpcUrl)));
    const times = await Promise.all(
      clients.map(async (client) => {
        using stream = client.streamConfigSpec({ sdkKey, version: 2 });
        await stream.next(WAIT_MS);
        expect(await stream.status(WAIT_MS)).toMatchObject(OLD);
        return performance.now() - openedAt;
      }),
    );
    expect(Math.min(...times)).toBeGreaterThan(EARLIEST_MS);
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(0.02 * AGE_S * 1_000);
  };

  test.concurrent("does not end together with those that were opened together", async () => {
    const { sdkKey } = publishKey(upstream, "secret-together");
    // A process that stands still sees all ends at once.
    await unlessStalled(100, () => endApart(sdkKey));
  }, 90_000);
});

test("streams that ended with their connection do not count any more", async () => {
  await using upstream = await startUpstream();
  const { sdkKey } = publishKey(upstream, "secret-counted");
  const args = ["-g", "4", "--serving-threads", "2", "--grpc-max-connection-age-in-s", "1"];
  await using relay = await startRelayProcess({ upstream, args });
  for (let round = 0; round < 2; round++) {
    using client = new GrpcClient(relay.grpcUrl);
    const streams = Array.from({ length: 4 }, () => client.streamConfigSpec({ sdkKey, version: 2 }));
    for (const stream of streams) await stream.next();
    for (const stream of streams) expect(await stream.status(WAIT_MS)).toMatchObject(OLD);
  }
}, 60_000);

test("by default, and after a reload that turns it off, connections do not age; a reload that turns it on ends open ones", async () => {
  await using upstream = await startUpstream();
  const { sdkKey } = publishKey(upstream, "secret-reloaded");
  await using reloaded = await startReloadedRelay(upstream, {});
  using client = new GrpcClient(reloaded.relay.grpcUrl);
  using stream = client.streamConfigSpec({ sdkKey, version: 2 });
  await stream.next();
  let ended = false;
  void stream.status(60_000).then(() => {
    ended = true;
  });
  // The second reload comes long before the age of the first, on a busy machine as well.
  await reloaded.reload({ "grpc-max-connection-age-in-s": 3, "grpc-max-connection-age-grace-in-s": 1 });
  await reloaded.reload({ "grpc-max-connection-age-in-s": 0 });
  await Bun.sleep(3_500);
  expect(ended).toBe(false);
  const logged = await reloaded.reload({ "grpc-max-connection-age-in-s": 1 });
  expect(logged).toContain("changed=grpc-max-connection-age-in-s");
  expect(await stream.status(WAIT_MS)).toMatchObject(OLD);
}, 40_000);
