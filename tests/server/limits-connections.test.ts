import { expect } from "bun:test";
import {
  ENHANCE_YOUR_CALM,
  FRAME,
  type Frame,
  frame,
  REFUSED_STREAM,
} from "../support/clients/http2-frames.ts";
import { RawConnection } from "../support/clients/raw-connection.ts";
import { cancelStreams, RawHttp2 } from "../support/clients/raw-http2.ts";
import { testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { type Protocol, startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const CONNECTIONS = 40;
const PATIENCE = { withinMs: 15_000 };

const isHttp2 = (protocol: Protocol): boolean => protocol.startsWith("grpc");

const ASK = "GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PING = frame(FRAME.ping, 0, 0, Buffer.alloc(8));

/** Whether the server responds on this connection: a 200 over HTTP, a ping over HTTP/2. The connection stays open. */
async function isServed(connection: RawConnection, protocol: Protocol): Promise<boolean> {
  const before = connection.received.length;
  connection.write(isHttp2(protocol) ? PING : ASK);
  await eventually(
    () => expect(connection.isClosed || connection.received.length > before).toBe(true),
    PATIENCE,
  );
  const response = connection.received.subarray(before);
  return isHttp2(protocol) ? response.length > 0 : response.toString("latin1").startsWith("HTTP/1.1 200");
}

describe("--max-connections", () => {
  let started: TlsRelay;
  beforeAll(async () => {
    started = await startTlsRelay(["--max-connections", String(CONNECTIONS)]);
  });
  afterAll(() => started[Symbol.asyncDispose]());

  const open = async (protocol: Protocol): Promise<RawConnection> => {
    const url = started.relay.urlOf(protocol);
    if (isHttp2(protocol)) return (await RawHttp2.open(url)).connection;
    return RawConnection.open(url);
  };

  /** Whether one more connection is served. It is closed again. */
  const oneMore = async (protocol: Protocol): Promise<boolean> => {
    try {
      using connection = await open(protocol);
      return await isServed(connection, protocol);
    } catch {
      return false;
    }
  };

  test.each(["http", "https", "grpc", "grpcs"] as const)(
    "%s: one above the limit is rejected, open ones are served, and a closed one makes space",
    async (protocol) => {
      using stack = new DisposableStack();
      const connections: RawConnection[] = [];
      for (let number = 0; number < CONNECTIONS; number++) connections.push(stack.use(await open(protocol)));
      for (const connection of connections) expect(await isServed(connection, protocol)).toBe(true);
      for (let time = 0; time < 3; time++) expect(await oneMore(protocol)).toBe(false);
      for (const connection of connections) {
        expect(connection.isClosed).toBe(false);
        if (!isHttp2(protocol)) expect(await isServed(connection, protocol)).toBe(true);
      }
      // Each port has its own limit.
      const other = isHttp2(protocol) ? "http" : "grpc";
      expect(await oneMore(other)).toBe(true);
      connections[0]?.[Symbol.dispose]();
      await eventually(async () => expect(await oneMore(protocol)).toBe(true), PATIENCE);
    },
  );

  test("is logged once", async () => {
    await eventually(() => expect(started.reached("max-connections")).toBe(1), PATIENCE);
  });
});

const STREAMS = 4;
const RESETS = 20;

describe.each(["https", "grpc", "grpcs"] as const)("HTTP/2 on the %s port", (protocol) => {
  let started: TlsRelay;
  beforeAll(async () => {
    const limits = [
      "--http2-max-concurrent-streams",
      String(STREAMS),
      "--http2-max-resets-per-min",
      String(RESETS),
    ];
    started = await startTlsRelay(limits);
  });
  afterAll(() => started[Symbol.asyncDispose]());

  const open = () => RawHttp2.open(started.relay.urlOf(protocol));

  /** Another connection is served. */
  const expectOthersServed = async (): Promise<void> => {
    using other = await open();
    other.openSpecStream(1, started.held.sdkKey);
    await other.received(
      "specs",
      ({ type, streamId, payload }) => type === FRAME.data && streamId === 1 && payload.length > 5,
    );
    expect(await started.statusOf("http")).toBe(200);
  };

  test("--http2-max-concurrent-streams is announced, and streams above it are refused", async () => {
    using client = await open();
    expect(await client.maxConcurrentStreams()).toBe(STREAMS);
    const streamIds = Array.from({ length: STREAMS }, (_, at) => 2 * at + 1);
    for (const streamId of streamIds) client.openSpecStream(streamId, started.held.sdkKey);
    for (const id of streamIds) {
      await client.received(
        `specs on stream ${id}`,
        ({ type, streamId }) => type === FRAME.data && streamId === id,
      );
    }
    const beyond = 2 * STREAMS + 1;
    client.openSpecStream(beyond, started.held.sdkKey);
    const isRefusal = ({ type, streamId, payload }: Frame): boolean =>
      type === FRAME.rstStream && streamId === beyond && payload.readUInt32BE(0) === REFUSED_STREAM;
    await eventually(() => {
      const refused = client.frames.some(isRefusal);
      const ended = client.frames.some(({ type }) => type === FRAME.goaway);
      expect(refused || ended || client.connection.isClosed).toBe(true);
    }, PATIENCE);
    const isAnswer = ({ type, streamId }: Frame) => type === FRAME.data && streamId === beyond;
    expect(client.frames.some(isAnswer)).toBe(false);
    await expectOthersServed();
  });

  test("--http2-max-resets-per-min: a client that cancels more requests gets ENHANCE_YOUR_CALM and is disconnected", async () => {
    using client = await open();
    cancelStreams(client, 0, 3 * RESETS);
    const { payload } = await client.received("GOAWAY", ({ type }) => type === FRAME.goaway);
    expect(payload.readUInt32BE(4)).toBe(ENHANCE_YOUR_CALM);
    await client.connection.closed(15_000);
    await expectOthersServed();
  });

  test("a client that cancels fewer requests is not limited", async () => {
    using client = await open();
    cancelStreams(client, 0, RESETS / 2);
    client.openSpecStream(RESETS + 101, started.held.sdkKey);
    await client.received("specs", ({ type, payload }) => type === FRAME.data && payload.length > 5);
    expect(client.frames.some(({ type }) => type === FRAME.goaway)).toBe(false);
  });

  test.each(["http2-max-concurrent-streams", "http2-max-resets-per-min"])(
    "reaching --%s is logged once",
    async (limit) => await eventually(() => expect(started.reached(limit)).toBe(1), PATIENCE),
  );
});
