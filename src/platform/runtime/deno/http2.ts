import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";

/**
 * Whether what is written to a stream may wait for a frame of the client although its flow-control window is open (see
 * `WriteFlusher`).
 */
export const WRITES_WAIT_FOR_READS: boolean = false;

/** Whether closing a stream with NO_ERROR asks the client to stop sending (RFC 9113, 8.1). Otherwise the rest of a request must be read. */
export const ASKS_TO_STOP: boolean = false;

interface SessionHandle {
  destroy: (...args: unknown[]) => void;
}

/**
 * To be called with each session that begins, and the socket under it. Has its native part freed one turn of the event loop after it is
 * destroyed. Deno 2.9 frees it at once, also while it handles a frame, for example one that is invalid: that ends the process by a
 * segmentation fault. The session ends with its socket: some that have open streams then would stay as they are. A stream that either side
 * has reset ends: some that cannot write would stay open.
 */
export function prepareSession(session: ServerHttp2Session, socket: Socket): void {
  socket.once("close", () => destroySession(session));
  endResetStreams(session);
  const key = Object.getOwnPropertySymbols(session).find(({ description }) => description === "kHandle");
  const handle = key && (session as unknown as Record<symbol, SessionHandle | undefined>)[key];
  if (handle === undefined) return;
  const destroy = handle.destroy.bind(handle);
  handle.destroy = (...args) => void setImmediate(() => destroy(...args));
}

const RESET_CHECK_MS = 2_000;

/**
 * Has streams that are reset close, whatever they wait for. Deno 2.9 closes one that its client resets with NO_ERROR only when all that was
 * written to it is sent, which its client does not let happen any more.
 */
function endResetStreams(session: ServerHttp2Session): void {
  const open = new Set<ServerHttp2Stream>();
  session.on("stream", (stream: ServerHttp2Stream) => {
    open.add(stream);
    // Not within the event: see `destroySession`.
    stream.once("aborted", () => setImmediate(() => stream.destroy()));
    stream.once("close", () => open.delete(stream));
  });
  const check = setInterval(() => {
    for (const stream of open)
      if (stream.closed && stream.rstCode !== constants.NGHTTP2_NO_ERROR) stream.destroy();
  }, RESET_CHECK_MS).unref();
  session.once("close", () => clearInterval(check));
}

/**
 * Ends all streams and the session, after GOAWAY with an error code of HTTP/2 if there is one. Does so one turn of the event loop later:
 * Deno 2.9 ends the process by a segmentation fault if a session is destroyed while it handles a frame.
 */
export function destroySession(session: ServerHttp2Session, code?: number): void {
  setImmediate(() => {
    if (session.destroyed) return;
    if (code !== undefined) session.goaway(code);
    session.destroy();
  });
}

/**
 * Refuses further streams, and ends the session when the open ones have ended. Begins one turn of the event loop later, since a session
 * without streams is destroyed at once (see {@link destroySession}).
 */
export function closeSession(session: ServerHttp2Session): void {
  setImmediate(() => {
    if (!session.destroyed) session.close();
  });
}

const ANY_STREAM = 0x7fffffff;

/** The type of a GOAWAY frame, and the length of its fields: the last stream and the error code (RFC 9113, 6.8). */
const GOAWAY = 7;
const GOAWAY_BYTES = 8;
/** Length, type, flags and stream (RFC 9113, 4.1). */
const HEADER_BYTES = 9;

/**
 * Announces that the session ends, by a GOAWAY that leaves all streams (RFC 9113, 6.8). `socket` is the connection of the session.
 * After `session.goaway`, nghttp2 ignores the streams that its client sends until it reads the frame. So the frame is written beside the
 * session, which writes whole frames.
 */
export function announceEnd(_session: ServerHttp2Session, socket: Socket, debugData: Buffer): void {
  const frame = Buffer.alloc(HEADER_BYTES + GOAWAY_BYTES);
  frame.writeUIntBE(GOAWAY_BYTES + debugData.length, 0, 3);
  frame[3] = GOAWAY;
  frame.writeUInt32BE(ANY_STREAM, HEADER_BYTES);
  socket.write(Buffer.concat([frame, debugData]));
}
