import { expect } from "bun:test";
import { Attacker } from "../support/clients/attacker.ts";
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  ENHANCE_YOUR_CALM,
  FRAME,
  frame,
  literalHeader,
  requestHeaders,
} from "../support/clients/http2-frames.ts";
import { cancelStreams, RawHttp2 } from "../support/clients/raw-http2.ts";
import { testsWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { startTlsRelay, type TlsRelay } from "../support/relay/tls-relay.ts";

const { afterAll, beforeAll, describe, test } = testsWith("openssl");

const LIMIT = "http2-max-resets-per-min";

/** Resets that one read may contain without reaching the limit per turn of the event loop. */
const RESETS_PER_READ = 20;
const PING = frame(FRAME.ping, 0, 0, Buffer.alloc(8));
const PINGS_PER_MIN = 10_000;
const PINGS_PER_READ = 500;
const acksOf = (client: RawHttp2) =>
  client.frames.filter(({ type, flags }) => type === FRAME.ping && flags === ACK).length;
const TIMEOUT = { withinMs: 15_000, everyMs: 1 };
/** As many as the limit per minute allows. */
const MAX_ROUNDS = 45;

describe.each(["https", "grpc", "grpcs"] as const)("floods on the %s port, by default", (protocol) => {
  let started: TlsRelay;
  beforeAll(async () => {
    started = await startTlsRelay();
  });
  afterAll(() => started[Symbol.asyncDispose]());

  const open = () => RawHttp2.open(started.relay.urlOf(protocol));

  // Deno cannot pause a connection of HTTP/2. The limits per minute and per turn hold there.
  test.skipIf(isOnDeno)(
    "a client that resets too many streams in a second is paused for a second, then served again",
    async () => {
      using client = await open();
      let rounds = 0;
      const reset = async () => {
        cancelStreams(client, rounds * RESETS_PER_READ, RESETS_PER_READ);
        client.send(PING);
        rounds++;
        await eventually(() => expect(acksOf(client)).toBe(rounds), TIMEOUT);
      };
      while (rounds < 5) await reset();
      expect(started.reached(LIMIT)).toBe(0);
      // One more round is too many, unless the machine is so slow that a second is over. It may be logged a round later.
      let [earlier, latest] = [0, performance.now()];
      while (started.reached(LIMIT) === 0 && rounds < MAX_ROUNDS) {
        [earlier, latest] = [latest, performance.now()];
        await reset();
      }
      expect(started.reached(LIMIT)).toBe(1);
      // The relay may have read the last PING just before the pause.
      client.send(PING);
      await eventually(() => expect(acksOf(client)).toBe(rounds + 1), TIMEOUT);
      expect(performance.now() - earlier).toBeGreaterThan(900);
      expect(await started.statusOf("http")).toBe(200);
    },
  );

  test("a client that resets too many streams in one turn gets ENHANCE_YOUR_CALM and is disconnected", async () => {
    using client = await open();
    cancelStreams(client, 0, 100);
    const { payload } = await client.received("GOAWAY", ({ type }) => type === FRAME.goaway);
    expect(payload.readUInt32BE(4)).toBe(ENHANCE_YOUR_CALM);
    await client.connection.closed(15_000);
    expect(await started.statusOf("http")).toBe(200);
  });

  test("a client that floods SETTINGS frames gets ENHANCE_YOUR_CALM and is disconnected", async () => {
    using client = await open();
    client.send(...Array.from({ length: 40 }, () => frame(FRAME.settings, 0, 0)));
    const { payload } = await client.received("GOAWAY", ({ type }) => type === FRAME.goaway);
    expect(payload.readUInt32BE(4)).toBe(ENHANCE_YOUR_CALM);
    await client.connection.closed(15_000);
    await eventually(() => expect(started.reached("http2-settings-per-min")).toBe(1), TIMEOUT);
  });

  test("a client that floods PINGs gets ENHANCE_YOUR_CALM and is disconnected", async () => {
    using client = await open();
    // Bun itself disconnects a client that does not wait for the responses.
    for (let sent = 0; sent < PINGS_PER_MIN; sent += PINGS_PER_READ) {
      client.send(...Array.from({ length: PINGS_PER_READ }, () => PING));
      await eventually(() => expect(acksOf(client)).toBe(sent + PINGS_PER_READ), TIMEOUT);
    }
    expect(started.reached("http2-pings-per-min")).toBe(0);
    client.send(PING);
    const { payload } = await client.received("GOAWAY", ({ type }) => type === FRAME.goaway);
    expect(payload.readUInt32BE(4)).toBe(ENHANCE_YOUR_CALM);
    await client.connection.closed(15_000);
    await eventually(() => expect(started.reached("http2-pings-per-min")).toBe(1), TIMEOUT);
  }, 60_000);

  test("a client that floods SETTINGS frames and reads nothing is disconnected", async () => {
    const connections = 5;
    const order = { attack: "SETTINGS flood", connections, perSecond: 2_000, durationMs: 6_000 } as const;
    await using attacker = await Attacker.start({ ...order, url: started.relay.urlOf(protocol) });
    // The client opens a new connection for each one it finds closed, so only it can count them.
    const { closedByServer } = await attacker.result();
    expect(closedByServer).toBeGreaterThanOrEqual(connections);
    expect(await started.statusOf("http")).toBe(200);
  });

  test.skipIf(isOnDeno)(
    "a client that repeatedly sends too large headers is disconnected by Bun, and it is logged",
    async () => {
      using client = await open();
      const large = Array.from({ length: 20 }, (_, at) => literalHeader(`x-${at}`, "x".repeat(1_000)));
      const headers = Buffer.concat([requestHeaders("GET", "/v1/health"), ...large]);
      for (let number = 0; number < 110; number++) {
        const streamId = 2 * number + 1;
        // A frame has at most 16 KB.
        client.send(
          frame(FRAME.headers, END_STREAM, streamId, headers.subarray(0, 16_000)),
          frame(FRAME.continuation, END_HEADERS, streamId, headers.subarray(16_000)),
        );
      }
      await client.connection.closed(15_000);
      await eventually(() => expect(started.reached("max-header-size-in-kb")).toBe(1), TIMEOUT);
    },
  );
});
