import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { type TcpProgress, tcpProgress } from "../libc/tcp-connection.ts";

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

/**
 * Sends HTTP/2 PINGs, to find out about peers that are gone without having said so. A PING waits behind all that was sent
 * before it, so a peer that is busy reading shows by other signs that it lives.
 */
export function keepAlive(session: ServerHttp2Session, options: KeepaliveOptions): void {
  const { socket, timeMs, timeoutMs, onVanished } = options;
  let timer: NodeJS.Timeout;
  const schedule = (next: () => void, ms: number) => {
    clearTimeout(timer);
    if (!session.destroyed) timer = setTimeout(next, ms).unref();
  };
  const ask = () => {
    if (session.destroyed) return;
    let before = tcpProgress(socket);
    let silentLooks = 0;
    const look = () => {
      const now = tcpProgress(socket);
      silentLooks = showsLife(before, now) ? 0 : silentLooks + 1;
      before = now;
      if (silentLooks >= LOOKS) onVanished();
      else schedule(look, timeoutMs / LOOKS);
    };
    schedule(look, timeoutMs / LOOKS);
    // Also called, with an error, when the session ends before the answer.
    session.ping(() => schedule(ask, timeMs));
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
