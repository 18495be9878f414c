import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";

/** How long a client may take to notice that its connection ends. */
const GOODBYE_MS = 1_000;

/** With a goodbye; a client that is in the midst of a header does not take it, and is cut. */
export function endSession(session: ServerHttp2Session, socket: Socket): void {
  session.close();
  setTimeout(() => destroy(session, socket), GOODBYE_MS).unref();
}

/** Cuts the connection too: where the client reads nothing, it would stay open until all that was written is sent. */
export function destroy(session: ServerHttp2Session, socket: Socket): void {
  session.destroy();
  setTimeout(() => socket.destroy(), GOODBYE_MS).unref();
}
