import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { socketDescriptor, type TcpProgress, tcpProgress } from "../platform/tcp-connection.ts";
import { pauseReading } from "./connection-limit.ts";
import { LASTING_STREAM, watchArrivals } from "./http2-streams.ts";
import type { EmitLimitEvent, LimitName } from "./limits.ts";

interface SessionLimitsOptions {
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

/** How long a client may take to notice that its connection ends. */
const GOODBYE_MS = 1_000;

/** With a goodbye; a client that is in the midst of a header does not take it, and is cut. */
function endSession(session: ServerHttp2Session, socket: Socket): void {
  session.close();
  setTimeout(() => destroy(session, socket), GOODBYE_MS).unref();
}

/** Cuts the connection too: where the client reads nothing, it would stay open until all that was written is sent. */
function destroy(session: ServerHttp2Session, socket: Socket): void {
  session.destroy();
  setTimeout(() => socket.destroy(), GOODBYE_MS).unref();
}

interface KeepaliveOptions {
  /** That of the session. */
  readonly socket: Socket;
  /** Between the answer to a PING and the next PING. */
  readonly timeMs: number;
  /** How long a peer may show no sign of life once it was sent a PING. */
  readonly timeoutMs: number;
  readonly onVanished: () => void;
}

/**
 * Looks so often while an answer is due. The looks are counted, not the time: after a pause of this process, answers that
 * came meanwhile are read before the next look.
 */
const LOOKS = 4;

/** How much the peer's kernel may keep of what its program has not read yet: the default bound of Linux. */
const MAX_UNREAD_BYTES = 6 * 1024 * 1024;

/** A program that reads more slowly may be taken for one that hangs. */
const SLOWEST_BYTES_PER_S = 128 * 1024;

/**
 * Sends HTTP/2 PINGs, to find out about peers that are gone without having said so. A PING waits behind all that was sent
 * before it, so a peer that is busy reading shows by other signs that it lives, or gets the time to read.
 */
function keepAlive(session: ServerHttp2Session, options: KeepaliveOptions): void {
  const { socket, timeMs, timeoutMs, onVanished } = options;
  const lookEveryMs = timeoutMs / LOOKS;
  let timer: NodeJS.Timeout;
  /** The peer's program has read at least so much: it answered a PING that came after it. */
  let readBytes = 0;
  const schedule = (next: () => void, ms: number) => {
    clearTimeout(timer);
    if (!session.destroyed) timer = setTimeout(next, ms).unref();
  };
  const ask = () => {
    if (session.destroyed) return;
    let before = tcpProgress(socketDescriptor(socket));
    const ackedBytes = before?.ackedBytes ?? 0;
    let silentMs = 0;
    const look = () => {
      const now = tcpProgress(socketDescriptor(socket));
      silentMs = showsLife(before, now) ? 0 : silentMs + lookEveryMs;
      before = now;
      if (silentMs >= timeoutMs + readingTimeMs(now, readBytes)) onVanished();
      else schedule(look, lookEveryMs);
    };
    schedule(look, lookEveryMs);
    // Also called, with an error, when the session ends before the answer.
    session.ping(() => {
      readBytes = ackedBytes;
      schedule(ask, timeMs);
    });
  };
  schedule(ask, timeMs);
  session.once("close", () => clearTimeout(timer));
}

/** Whether the peer's program must have sent or read something in between. */
function showsLife(before: TcpProgress | undefined, now: TcpProgress | undefined): boolean {
  if (before === undefined || now === undefined) return false;
  if (now.receivedBytes > before.receivedBytes) return true;
  // A peer's kernel takes a few small messages even when its program hangs, but not a queue.
  if (before.queuedBytes > 0 && now.ackedBytes > before.ackedBytes) return true;
  return now.peerWindowBytes > before.peerWindowBytes;
}

/**
 * How long a slow program may need for what its kernel has taken: nothing tells of that until half of the buffer is free.
 * No time for a peer whose kernel takes nothing either.
 */
function readingTimeMs(now: TcpProgress | undefined, readBytes: number): number {
  if (now === undefined || now.queuedBytes > 0) return 0;
  return (Math.min(now.ackedBytes - readBytes, MAX_UNREAD_BYTES) / SLOWEST_BYTES_PER_S) * 1_000;
}

/** Counts period by period. */
class Rate {
  readonly #max: number;
  readonly #periodMs: number;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(max: number, periodMs: number) {
    this.#max = max;
    this.#periodMs = periodMs;
  }

  /** Whether so many more are within the rate. */
  allows(count: number): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#sinceMs >= this.#periodMs) {
      this.#sinceMs = nowMs;
      this.#count = 0;
    }
    this.#count += count;
    return this.#count <= this.#max;
  }
}
