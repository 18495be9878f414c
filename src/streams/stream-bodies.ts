import { untilAborted } from "../platform/abort.ts";
import type { HeldFeed } from "../specs/store.ts";
import { FramePump } from "./frame-pump.ts";
import type { SpecStream, SpecStreams, StreamRequest } from "./spec-stream.ts";
import { StatusError, unavailable } from "./status-error.ts";
import { type BodyScope, type ItemEncoding, StreamBody } from "./stream-body.ts";

/** How a client asks for a stream, and listens to it. */
interface StreamClient {
  readonly request: StreamRequest;
  readonly encoding: ItemEncoding;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  /** The stream ends with DEADLINE_EXCEEDED after this time; undefined if it has no deadline. */
  readonly deadlineMs?: number | undefined;
}

/** The body of a response, and the feed that it follows. */
export interface OpenedBody {
  readonly body: StreamBody;
  readonly held: HeldFeed;
}

/** Opens the streams of a thread that are bodies of HTTP responses, and ends them. */
export class StreamBodies implements BodyScope {
  readonly #streams: SpecStreams;
  readonly pump = new FramePump();
  readonly #open = new Set<StreamBody>();
  #shutdown: StatusError | undefined;

  constructor(streams: SpecStreams) {
    this.#streams = streams;
  }

  onClosed(body: StreamBody): void {
    this.#open.delete(body);
  }

  /** Rejects with a {@link StatusError}, or an unexpected error. */
  async open(client: StreamClient): Promise<OpenedBody> {
    if (this.#shutdown !== undefined) throw this.#shutdown;
    const startedAt = performance.now();
    const { encoding, signal, deadlineMs } = client;
    const stream = this.#streams.enter();
    const held = await findFeed(stream, client);
    const body = new StreamBody({ stream, encoding, signal, scope: this });
    // The client may be gone, or the relay shutting down, since the feed was asked for.
    if (!signal.aborted) this.#open.add(body);
    if (this.#shutdown !== undefined) body.end(this.#shutdown);
    if (deadlineMs !== undefined) {
      const restMs = Math.max(0, deadlineMs - (performance.now() - startedAt));
      body.endAfter(restMs, deadlineExceeded());
    }
    return { body, held };
  }

  /** Ends streams, now and later, so that clients go to another replica. */
  endAll(reason: StatusError): void {
    this.#shutdown = reason;
    for (const body of this.#open) body.end(reason);
  }
}

/** Closes the stream if it cannot be opened, and at once if the client is gone or its deadline has passed. */
async function findFeed(
  stream: SpecStream,
  { request, signal, deadlineMs }: StreamClient,
): Promise<HeldFeed> {
  let late: AbortSignal | undefined;
  try {
    const held = stream.openHeld(request);
    if (held !== undefined) return held;
    late = deadlineMs === undefined ? undefined : AbortSignal.timeout(deadlineMs);
    const over = late === undefined ? signal : AbortSignal.any([signal, late]);
    return await untilAborted(stream.open(request), over);
  } catch (error) {
    stream.close();
    if (late?.aborted) throw deadlineExceeded();
    if (signal.aborted) throw unavailable("The client is gone");
    throw error;
  }
}

function deadlineExceeded(): StatusError {
  return new StatusError("deadline_exceeded", "the deadline passed");
}
