import type { TLSSocket } from "node:tls";
import { descriptorOf, tcpProgress } from "../libc/tcp-connection.ts";
import type { ByteTransport } from "./byte-writer.ts";

/** What is given to TLS at a time: it keeps all that it is given. */
const SLICE_BYTES = 64 * 1024;

/** A connection over TLS, which takes the next bytes when those that it has are sent. */
export function tlsTransport(socket: TLSSocket): ByteTransport {
  return {
    copies: false,
    write: (bytes) => {
      if (socket.writableNeedDrain || socket.writableEnded) return 0;
      const slice = bytes.subarray(0, SLICE_BYTES);
      socket.write(slice);
      return slice.length;
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    unsentBytes: () => socket.writableLength + (tcpProgress(descriptorOf(socket))?.queuedBytes ?? 0),
    shutdown: () => void socket.end(),
    close: () => void socket.destroy(),
    destroy: () => void socket.destroy(),
  };
}
