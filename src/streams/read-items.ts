import { Changes } from "../platform/abort.ts";
import type { SpecItem, SpecStream } from "./spec-stream.ts";

/**
 * Yields the items of an open stream, for protocols whose messages are pulled. When the stream ends it rejects with the reason;
 * when `signal` is aborted, with `signal.reason`. The stream is closed in either case.
 */
export async function* readItems(
  stream: SpecStream,
  signal: AbortSignal,
): AsyncGenerator<SpecItem, never, undefined> {
  const changes = new Changes();
  stream.onReady = () => changes.wake();
  const abort = () => {
    stream.close();
    changes.wake();
  };
  // A generator that is never resumed never reaches its finally: a client can reset a stream without reading it.
  signal.addEventListener("abort", abort, { once: true });
  try {
    while (true) {
      signal.throwIfAborted();
      const item = stream.take();
      if (item !== undefined) {
        yield item;
        stream.sent();
      } else if (stream.ended !== undefined) throw stream.ended;
      else await changes.next();
    }
  } finally {
    signal.removeEventListener("abort", abort);
    stream.close();
  }
}
