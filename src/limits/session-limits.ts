import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { LASTING_STREAM, watchArrivals } from "./arriving-streams.ts";
import type { EmitLimitEvent, LimitName } from "./events.ts";
import { Rate } from "./rate.ts";
import { destroy, endSession } from "./session-end.ts";
import { keepAlive } from "./session-keepalive.ts";
import { pauseReading } from "./socket-pause.ts";

export interface SessionLimitsOptions {
  /** From the connection until its first SETTINGS, with which HTTP/2 begins. */
  readonly headerTimeoutMs: number;
  readonly maxStreams: number;
  readonly maxResetsPerMin: number;
  /** That of the session, which does not let itself be paused. */
  readonly socket: Socket;
  /** After so long without any open stream, a connection is ended; clients make a new one when they need it. */
  readonly idleTimeoutMs: number;
  /** Between PINGs. */
  readonly keepaliveTimeMs: number;
  /** After so long without a sign of life since a PING, a connection is closed. */
  readonly keepaliveTimeoutMs: number;
  readonly emit: EmitLimitEvent;
}

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/** More, and a connection is not read for a second: to cut it would only bring the next one, at a higher price. */
const UNHURRIED_RESETS_PER_S = 100;

/** A request that waited for longer was given up, by a deadline for one; who attacks by rapid reset does not wait. */
const HASTY_MS = 1_000;

/** Each has to be answered, and clients of good will send one or two in the life of a connection. */
const MAX_SETTINGS_PER_MIN = 20;

const RESETS = "http2-max-resets-per-min";

/** How Bun ends a session of which it has refused a hundred streams: too large headers, or too many streams. */
const REFUSED_TOO_OFTEN = /code 11$/;

/**
 * Ends HTTP/2 connections that are of no use: idle ones, those whose client is gone, and those on which requests are taken
 * back all the time. A request that was answered costs no more for being taken back, and to end a stream so is what clients
 * normally do: many of them may share a connection.
 */
export function limitSession(session: ServerHttp2Session, options: SessionLimitsOptions): void {
  const { socket, headerTimeoutMs, maxStreams, maxResetsPerMin, idleTimeoutMs, emit } = options;
  keepAlive(session, {
    socket,
    timeMs: options.keepaliveTimeMs,
    timeoutMs: options.keepaliveTimeoutMs,
    onVanished: () => {
      emit({ kind: "client_vanished" });
      destroy(session, socket);
    },
  });
  const late = setTimeout(() => {
    emit({ kind: "limit_reached", limit: "header-timeout-in-s" });
    destroy(session, socket);
  }, headerTimeoutMs).unref();
  const settings = new Rate(MAX_SETTINGS_PER_MIN, MINUTE_MS);
  session.on("remoteSettings", () => {
    clearTimeout(late);
    if (!settings.allows(1)) calm("http2-settings-per-min");
  });
  // Not the session's own timeout: pings, and half a header, would begin it anew.
  const whenIdle = () => setTimeout(() => endSession(session, socket), idleTimeoutMs).unref();
  let idle = whenIdle();
  const inAMinute = new Rate(maxResetsPerMin, MINUTE_MS);
  const inASecond = new Rate(UNHURRIED_RESETS_PER_S, SECOND_MS);
  const calm = (limit: LimitName) => {
    if (session.destroyed) return;
    emit({ kind: "limit_reached", limit });
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    destroy(session, socket);
  };
  const takenBack = (count: number) => {
    if (!inAMinute.allows(count)) calm(RESETS);
    else if (!inASecond.allows(count) && pauseReading(socket, SECOND_MS))
      emit({ kind: "limit_reached", limit: RESETS });
  };
  watchArrivals(session, { onTakenBack: takenBack, onRapidReset: () => calm(RESETS) });
  let openStreams = 0;
  let wasFull = false;
  session.on(LASTING_STREAM, (stream: ServerHttp2Stream) => {
    openStreams++;
    if (openStreams === maxStreams) {
      wasFull = true;
      emit({ kind: "limit_reached", limit: "http2-max-concurrent-streams" });
    }
    clearTimeout(idle);
    const cameAt = performance.now();
    stream.once("close", () => {
      openStreams--;
      if (openStreams === 0 && !session.destroyed) idle = whenIdle();
      const isHasty = performance.now() - cameAt < HASTY_MS;
      if (stream.aborted && !stream.headersSent && isHasty) takenBack(1);
    });
  });
  session.once("error", ({ message }: Error) => {
    // Where there were too many streams, that has been told.
    if (REFUSED_TOO_OFTEN.test(message) && !wasFull)
      emit({ kind: "limit_reached", limit: "max-header-size-in-kb" });
  });
  session.once("close", () => {
    clearTimeout(late);
    clearTimeout(idle);
  });
}
