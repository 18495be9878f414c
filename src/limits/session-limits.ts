import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { EmitLimitEvent } from "./events.ts";

export interface SessionLimitsOptions {
  /** From the connection until its first SETTINGS, with which HTTP/2 begins. */
  readonly headerTimeoutMs: number;
  readonly maxStreams: number;
  readonly maxResetsPerMin: number;
  /** After so long without any open stream, a connection is ended; clients make a new one when they need it. */
  readonly idleTimeoutMs: number;
  readonly emit: EmitLimitEvent;
}

/** How long a client may take to notice that its connection ends. */
const GOODBYE_MS = 1_000;

const MINUTE_MS = 60_000;

/** Ends HTTP/2 connections that are of no use: idle ones, and those on which requests are taken back all the time. */
export function limitSession(session: ServerHttp2Session, options: SessionLimitsOptions): void {
  const { headerTimeoutMs, maxStreams, maxResetsPerMin, idleTimeoutMs, emit } = options;
  const late = setTimeout(() => {
    emit({ kind: "limit_reached", limit: "header-timeout-in-s" });
    session.destroy();
  }, headerTimeoutMs).unref();
  session.once("remoteSettings", () => clearTimeout(late));
  // Not the session's own timeout: pings, and half a header, would begin it anew.
  const whenIdle = () => setTimeout(() => end(session), idleTimeoutMs).unref();
  let idle = whenIdle();
  const resets = new RatePerMinute(maxResetsPerMin);
  let openStreams = 0;
  session.on("stream", (stream: ServerHttp2Stream) => {
    openStreams++;
    if (openStreams === maxStreams) emit({ kind: "limit_reached", limit: "http2-max-concurrent-streams" });
    clearTimeout(idle);
    stream.once("close", () => {
      openStreams--;
      if (openStreams === 0 && !session.destroyed) idle = whenIdle();
      if (stream.aborted && !resets.allows()) calm(session, emit);
    });
  });
  session.once("close", () => {
    clearTimeout(late);
    clearTimeout(idle);
  });
}

/** With a goodbye; a client that is in the midst of a header does not take it, and is cut. */
function end(session: ServerHttp2Session): void {
  session.close();
  setTimeout(() => session.destroy(), GOODBYE_MS).unref();
}

function calm(session: ServerHttp2Session, emit: EmitLimitEvent): void {
  if (session.destroyed) return;
  emit({ kind: "limit_reached", limit: "http2-max-resets-per-min" });
  session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  session.destroy();
}

/** Counts minute by minute. */
class RatePerMinute {
  readonly #max: number;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Whether one more is within the rate. */
  allows(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#sinceMs >= MINUTE_MS) {
      this.#sinceMs = nowMs;
      this.#count = 0;
    }
    this.#count++;
    return this.#count <= this.#max;
  }
}
