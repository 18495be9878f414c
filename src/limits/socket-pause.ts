import type { Socket } from "node:net";

interface Handle {
  readonly pause: () => void;
  readonly resume: () => void;
}

const paused = new WeakSet<Socket>();

/**
 * Reads no more for so long; false where that is so already, or can't be done. By Bun's handle, since the socket's own
 * `pause` has no effect once HTTP/2 reads from it.
 */
export function pauseReading(socket: Socket, ms: number): boolean {
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
