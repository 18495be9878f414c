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

function endResetStreams(session: ServerHttp2Session): void {
  const open = new Set<ServerHttp2Stream>();
  session.on("stream", (stream: ServerHttp2Stream) => {
    open.add(stream);
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

const GOAWAY = 7;
const ANY_STREAM = 0x7fffffff;
const FRAME_HEADER_BYTES = 9;

/**
 * Announces the end of a connection by a GOAWAY that names no stream (RFC 9113, section 6.8): requests that the client has sent until it
 * reads that are still accepted. After `session.goaway`, Deno ignores all further requests, whatever stream it names. So the frame goes
 * to the socket of the session, to which Deno always writes whole frames.
 */
export function announceEnd(_session: ServerHttp2Session, socket: Socket, debugData: Uint8Array): void {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + 8);
  frame.writeUIntBE(8 + debugData.length, 0, 3);
  frame[3] = GOAWAY;
  frame.writeUInt32BE(ANY_STREAM, FRAME_HEADER_BYTES);
  // The last four bytes are the error code, NO_ERROR.
  socket.write(Buffer.concat([frame, debugData]));
}
