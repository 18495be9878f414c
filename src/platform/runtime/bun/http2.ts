import { constants, type ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";

/**
 * Whether what is written to a stream may wait for a frame of the client although its flow-control window is open (see
 * `WriteFlusher`).
 */
export const WRITES_WAIT_FOR_READS: boolean = true;

/** Whether closing a stream with NO_ERROR asks the client to stop sending (RFC 9113, 8.1). Otherwise the rest of a request must be read. */
export const ASKS_TO_STOP: boolean = true;

/** To be called with each session that begins. */
export function prepareSession(_session: ServerHttp2Session, _socket: Socket): void {
  // Bun's sessions are used as they are.
}

/** Ends all streams and the session, after GOAWAY with an error code of HTTP/2 if there is one. */
export function destroySession(session: ServerHttp2Session, code?: number): void {
  if (code !== undefined) session.goaway(code);
  session.destroy();
}

/** Refuses further streams, and ends the session when the open ones have ended. */
export function closeSession(session: ServerHttp2Session): void {
  session.close();
}

const ANY_STREAM = 0x7fffffff;

/** Announces that the session ends, by a GOAWAY that leaves all streams (RFC 9113, 6.8). `socket` is the connection of the session. */
export function announceEnd(session: ServerHttp2Session, _socket: Socket, debugData: Buffer): void {
  session.goaway(constants.NGHTTP2_NO_ERROR, ANY_STREAM, debugData);
}
