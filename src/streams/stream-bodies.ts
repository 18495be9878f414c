import type { HeldFeed } from "../specs/store.ts";
import { FramePump } from "./frame-pump.ts";
import type { SpecStream, SpecStreams, StreamRequest } from "./spec-stream.ts";
import type { StatusError } from "./status-error.ts";
import { type ItemEncoding, StreamBody } from "./stream-body.ts";

/** How a client asks for a stream, and listens to it. */
interface StreamClient {
  readonly request: StreamRequest;
  readonly encoding: ItemEncoding;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/** The body of a response, and the feed that it follows. */
export interface OpenedBody {
  readonly body: StreamBody;
  readonly held: HeldFeed;
}

/** Opens the streams of a thread that are bodies of HTTP responses, and ends them. */
export class StreamBodies {
  readonly #streams: SpecStreams;
  readonly #pump = new FramePump();
  readonly #open = new Set<StreamBody>();
  #shutdown: StatusError | undefined;

  constructor(streams: SpecStreams) {
    this.#streams = streams;
  }

  /** Rejects with a {@link StatusError}, or an unexpected error. */
  async open({ request, encoding, signal }: StreamClient): Promise<OpenedBody> {
    if (this.#shutdown !== undefined) throw this.#shutdown;
    const stream = this.#streams.enter();
    const held = stream.openHeld(request) ?? (await findFeed(stream, request, signal));
    const onClosed = (closed: StreamBody) => this.#open.delete(closed);
    const body = new StreamBody({ stream, encoding, signal, onClosed, pump: this.#pump });
    // The client may be gone, or the relay shutting down, since the feed was asked for.
    if (!signal.aborted) this.#open.add(body);
    if (this.#shutdown !== undefined) body.end(this.#shutdown);
    return { body, held };
  }

  /** Ends streams, now and later, so that clients go to another replica. */
  endAll(reason: StatusError): void {
    this.#shutdown = reason;
    for (const body of this.#open) body.end(reason);
  }
}

/** Closes the stream if there is no feed, or at once when the client is gone. */
async function findFeed(stream: SpecStream, request: StreamRequest, signal: AbortSignal): Promise<HeldFeed> {
  const close = () => stream.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    return await stream.open(request);
  } catch (error) {
    close();
    throw error;
  } finally {
    signal.removeEventListener("abort", close);
  }
}
