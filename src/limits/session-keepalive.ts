import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { descriptorOf, type TcpProgress, tcpProgress } from "../libc/tcp-connection.ts";

export interface KeepaliveOptions {
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
export function keepAlive(session: ServerHttp2Session, options: KeepaliveOptions): void {
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
    let before = tcpProgress(descriptorOf(socket));
    const ackedBytes = before?.ackedBytes ?? 0;
    let silentMs = 0;
    const look = () => {
      const now = tcpProgress(descriptorOf(socket));
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
