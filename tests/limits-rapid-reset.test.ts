import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ENHANCE_YOUR_CALM, FRAME, frame } from "./support/http2-frames.ts";
import { RawHttp2, takeBack } from "./support/raw-http2.ts";
import { startTlsRelay, type TlsRelay } from "./support/tls-relay.ts";
import { eventually } from "./support/wait.ts";

const LIMIT = "http2-max-resets-per-min";

/** Those that one read takes in, below what is too many for that. */
const IN_ONE_BREATH = 20;
const PING = frame(FRAME.ping, 0, 0, Buffer.alloc(8));
const PATIENCE = { withinMs: 5_000, everyMs: 1 };

describe.each(["https", "grpc", "grpcs"] as const)("rapid reset on the %s port, by default", (protocol) => {
  let started: TlsRelay;
  beforeAll(async () => {
    started = await startTlsRelay();
  });
  afterAll(() => started[Symbol.asyncDispose]());

  const open = () => RawHttp2.open(started.relay.urlOf(protocol));

  test("a client that takes back too many in a second is not listened to for a second, then it is again", async () => {
    using client = await open();
    const pings = () => client.frames.filter(({ type }) => type === FRAME.ping).length;
    for (let round = 0; round < 5; round++) {
      takeBack(client, round * IN_ONE_BREATH, IN_ONE_BREATH);
      client.send(PING);
      await eventually(() => expect(pings()).toBe(round + 1), PATIENCE);
    }
    expect(started.reached(LIMIT)).toBe(0);
    takeBack(client, 5 * IN_ONE_BREATH, IN_ONE_BREATH);
    await eventually(() => expect(started.reached(LIMIT)).toBe(1), PATIENCE);
    const askedAt = performance.now();
    client.send(PING);
    expect(await started.statusOf("http")).toBe(200);
    await eventually(() => expect(pings()).toBe(6), PATIENCE);
    expect(performance.now() - askedAt).toBeGreaterThan(300);
  });

  test("one that takes back too many in one breath is told to calm down and cut off", async () => {
    using client = await open();
    takeBack(client, 0, 100);
    const { payload } = await client.received("GOAWAY", ({ type }) => type === FRAME.goaway);
    expect(payload.readUInt32BE(4)).toBe(ENHANCE_YOUR_CALM);
    await client.connection.closed(3_000);
    expect(await started.statusOf("http")).toBe(200);
  });
});
