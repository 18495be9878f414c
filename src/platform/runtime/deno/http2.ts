import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";

/**
 * Whether what is written to a stream may wait for a frame of the client although its flow-control window is open (see
 * `WriteFlusher`).
 */
export const WRITES_WAIT_FOR_READS: boolean = false;

/** Whether closing a stream with NO_ERROR asks the client to stop sending (RFC 9113, 8.1). Otherwise the rest of a request must be read. */
export const ASKS_TO_STOP: boolean = false;

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
 * Has a stream that its client resets close, whatever it waits for. Deno 2.9 closes one that is reset with NO_ERROR only when all that was
 * written to it is sent, which its client does not let happen any more. To be called for each stream that arrives.
 */
export function closeOnReset(stream: ServerHttp2Stream): void {
  // Not within the event: see `destroySession`.
  stream.once("aborted", () => setImmediate(() => stream.destroy()));
}
