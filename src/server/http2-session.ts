import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { destroySession } from "#runtime/http2.ts";
import { socketProgress, type TcpProgress } from "../platform/tcp-connection.ts";
import { LASTING_STREAM, watchArrivals } from "./http2-streams.ts";
import type { EmitLimitEvent, LimitName } from "./limits.ts";

interface SessionLimitsOptions {
  /** From the connection to its first SETTINGS frame, with which HTTP/2 begins. */
  readonly headerTimeoutMs: number;
  readonly maxStreams: number;
  readonly maxResetsPerMin: number;
  /** The socket of the session, which cannot be paused itself. */
  readonly socket: Socket;
  /** A connection without an open stream is closed after this time. Clients open a new one when they need it. */
  readonly idleTimeoutMs: number;
  /** Between two PINGs. */
  readonly keepaliveTimeMs: number;
  /** A connection is closed after this time without a sign of life since a PING. */
  readonly keepaliveTimeoutMs: number;
  readonly emit: EmitLimitEvent;
}

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/** Above this rate a connection is not read for a second. Cutting it would only bring the next one, at a higher cost. */
const MAX_UNPAUSED_RESETS_PER_S = 100;

/** A request that waited longer was cancelled, for example by a deadline. Rapid-reset attacks do not wait. */
const RAPID_RESET_WITHIN_MS = 1_000;

/** Each SETTINGS frame needs an acknowledgment. Normal clients send one or two in the life of a connection. */
const MAX_SETTINGS_PER_MIN = 20;

/**
 * SDKs and proxies send a PING every few seconds to every 30 s, also without a stream. Other gRPC libraries send one per round trip
 * while they receive a large message, to measure the bandwidth: at most one per DATA frame.
 */
const MAX_PINGS_PER_MIN = 10_000;

const RESETS = "http2-max-resets-per-min";

/**
 * The error with which Bun ends a session after it has rejected a hundred streams: too large headers, or too many streams.
 */
const TOO_MANY_REJECTED_STREAMS = /code 11$/;

/**
 * Closes HTTP/2 connections that are idle, whose client is gone, or that cancel requests all the time. A cancellation after
 * the response costs nothing and is normal: many clients may share a connection.
 */
export function limitSession(session: ServerHttp2Session, options: SessionLimitsOptions): void {
  const { socket, headerTimeoutMs, maxStreams, maxResetsPerMin, idleTimeoutMs, emit } = options;
  keepAlive(session, {
    socket,
    timeMs: options.keepaliveTimeMs,
    timeoutMs: options.keepaliveTimeoutMs,
    onVanished: () => {
      emit({ kind: "client_vanished" });
      cutSession(session, socket);
    },
  });
  const settingsTimeout = setTimeout(() => {
    emit({ kind: "limit_reached", limit: "header-timeout-in-s" });
    cutSession(session, socket);
  }, headerTimeoutMs).unref();
  const settings = new Rate(MAX_SETTINGS_PER_MIN, MINUTE_MS);
  session.on("remoteSettings", () => {
    clearTimeout(settingsTimeout);
    if (!settings.allows(1)) closeForAbuse("http2-settings-per-min");
  });
  const pings = new Rate(MAX_PINGS_PER_MIN, MINUTE_MS);
  session.on("ping", () => {
    if (!pings.allows(1)) closeForAbuse("http2-pings-per-min");
  });
  // The session's own timeout would be extended by pings, and by half a header.
  const startIdleTimer = () => setTimeout(() => endSession(session, socket), idleTimeoutMs).unref();
  let idle = startIdleTimer();
  const perMinute = new Rate(maxResetsPerMin, MINUTE_MS);
  const perSecond = new Rate(MAX_UNPAUSED_RESETS_PER_S, SECOND_MS);
  let isCut = false;
  const closeForAbuse = (limit: LimitName) => {
    if (isCut || session.destroyed) return;
    isCut = true;
    emit({ kind: "limit_reached", limit });
    cutSession(session, socket, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  };
  const onCancelled = (count: number) => {
    if (!perMinute.allows(count)) closeForAbuse(RESETS);
    else if (!perSecond.allows(count) && pauseReading(socket, SECOND_MS))
      emit({ kind: "limit_reached", limit: RESETS });
  };
  watchArrivals(session, { onCancelled, onRapidReset: () => closeForAbuse(RESETS) });
  let openStreams = 0;
  let wasFull = false;
  session.on(LASTING_STREAM, (stream: ServerHttp2Stream) => {
    openStreams++;
    if (openStreams === maxStreams) {
      wasFull = true;
      emit({ kind: "limit_reached", limit: "http2-max-concurrent-streams" });
    }
    clearTimeout(idle);
    const openedAt = performance.now();
    stream.once("close", () => {
      openStreams--;
      if (openStreams === 0 && !session.destroyed) idle = startIdleTimer();
      const isRapid = performance.now() - openedAt < RAPID_RESET_WITHIN_MS;
      if (stream.aborted && !stream.headersSent && isRapid) onCancelled(1);
    });
  });
  session.once("error", ({ message }: Error) => {
    // Too many streams have been reported already.
    if (TOO_MANY_REJECTED_STREAMS.test(message) && !wasFull)
      emit({ kind: "limit_reached", limit: "max-header-size-in-kb" });
  });
  session.once("close", () => {
    clearTimeout(settingsTimeout);
    clearTimeout(idle);
  });
}

/** How long a client has to close its side of the connection. */
const CLOSE_GRACE_MS = 1_000;

/** Sends GOAWAY first. A client that is in the middle of a header does not react to it, and is cut. */
function endSession(session: ServerHttp2Session, socket: Socket): void {
  session.close();
  setTimeout(() => cutSession(session, socket), CLOSE_GRACE_MS).unref();
}

/**
 * Ends all streams, and cuts the connection: if the client reads nothing, it would stay open until everything written is sent. With a
 * code, the client is sent a GOAWAY first.
 */
export function cutSession(session: ServerHttp2Session, socket: Socket, code?: number): void {
  destroySession(session, code);
  setTimeout(() => socket.destroy(), CLOSE_GRACE_MS).unref();
}

interface KeepaliveOptions {
  /** The socket of the session. */
  readonly socket: Socket;
  /** From the response to a PING to the next PING. */
  readonly timeMs: number;
  /** How long a peer may show no sign of life after a PING. */
  readonly timeoutMs: number;
  readonly onVanished: () => void;
}

/**
 * The number of checks while a PING is pending. Checks are counted rather than time: after a pause of this process, responses
 * that arrived meanwhile are read before the next check.
 */
const CHECKS = 4;

/** How much the peer's kernel may buffer of what its program has not read: the default limit of Linux. */
const MAX_UNREAD_BYTES = 6 * 1024 * 1024;

/** The lowest read rate that is assumed. A slower program may be taken for one that hangs. */
const MIN_READ_BYTES_PER_S = 128 * 1024;

/**
 * Sends HTTP/2 PINGs to find peers that are gone. A PING waits behind everything sent before it, so a peer that is busy
 * reading is recognized by other signs of life, or gets the time to read.
 */
function keepAlive(session: ServerHttp2Session, options: KeepaliveOptions): void {
  const { socket, timeMs, timeoutMs, onVanished } = options;
  const checkEveryMs = timeoutMs / CHECKS;
  let timer: NodeJS.Timeout;
  /** The peer's program has read at least this much: it responded to a PING sent after it. */
  let readBytes = 0;
  const schedule = (next: () => void, ms: number) => {
    clearTimeout(timer);
    if (!session.destroyed) timer = setTimeout(next, ms).unref();
  };
  const ping = () => {
    if (session.destroyed) return;
    let before = socketProgress(socket);
    const ackedBytes = before?.ackedBytes ?? 0;
    let silentMs = 0;
    const check = () => {
      const now = socketProgress(socket);
      silentMs = showsLife(before, now) ? 0 : silentMs + checkEveryMs;
      before = now;
      if (silentMs >= timeoutMs + estimateReadMs(now, readBytes)) onVanished();
      else schedule(check, checkEveryMs);
    };
    schedule(check, checkEveryMs);
    // Also called, with an error, when the session ends before the response.
    session.ping(() => {
      readBytes = ackedBytes;
      schedule(ping, timeMs);
    });
  };
  schedule(ping, timeMs);
  session.once("close", () => clearTimeout(timer));
}

/** Whether the peer's program must have sent or read something between the two measurements. */
function showsLife(before: TcpProgress | undefined, now: TcpProgress | undefined): boolean {
  if (before === undefined || now === undefined) return false;
  if (now.receivedBytes > before.receivedBytes) return true;
  // A peer's kernel accepts a few small messages even when its program hangs, but not a queue.
  if (before.queuedBytes > 0 && now.ackedBytes > before.ackedBytes) return true;
  return now.peerWindowBytes > before.peerWindowBytes;
}

/**
 * Returns how long a slow program may need for what its kernel has accepted: progress only shows when half of the buffer is
 * free. Returns 0 if the peer's kernel accepts nothing either.
 */
function estimateReadMs(now: TcpProgress | undefined, readBytes: number): number {
  if (now === undefined || now.queuedBytes > 0) return 0;
  return (Math.min(now.ackedBytes - readBytes, MAX_UNREAD_BYTES) / MIN_READ_BYTES_PER_S) * 1_000;
}

/** Limits a count per fixed period. */
class Rate {
  readonly #max: number;
  readonly #periodMs: number;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(max: number, periodMs: number) {
    this.#max = max;
    this.#periodMs = periodMs;
  }

  /** Adds to the count of the current period. Returns whether it is still within the limit. */
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

interface Handle {
  readonly pause: () => void;
  readonly resume: () => void;
}

const paused = new WeakSet<Socket>();

/**
 * Stops reading for `ms` milliseconds. Returns false if the socket is paused already or cannot be paused. Uses Bun's handle,
 * since the socket's own `pause` has no effect once HTTP/2 reads from it.
 */
function pauseReading(socket: Socket, ms: number): boolean {
  const { _handle: handle } = socket as Socket & { readonly _handle?: Partial<Handle> | null };
  if (paused.has(socket) || handle?.pause === undefined) return false;
  paused.add(socket);
  handle.pause();
  const resume = () => {
    paused.delete(socket);
    if (!socket.destroyed) handle.resume?.();
  };
  setTimeout(resume, ms).unref();
  return true;
}
