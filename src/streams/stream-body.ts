import type { Snapshot } from "../specs/snapshot.ts";
import type { FramePump, Writing } from "./frame-pump.ts";
import type { FrameSink, LastingBody, SharedFrame } from "./lasting-body.ts";
import type { SpecItem, SpecStream } from "./spec-stream.ts";
import type { StatusError } from "./status-error.ts";

/** The form in which one client gets the items of a stream. */
export interface ItemEncoding {
  /** Returns undefined if the version can be encoded at once; otherwise resolves when it can. */
  prepare(snapshot: Snapshot): Promise<void> | undefined;
  /** `item` follows the items encoded before. Its version is prepared. */
  encode(item: SpecItem): SharedFrame;
  /** Returns what the client is sent last. */
  end(reason: StatusError): SharedFrame;
}

/** What the bodies of a thread share. */
export interface BodyScope {
  readonly pump: FramePump;
  /** Called once for each body, when its stream is closed. */
  onClosed(body: StreamBody): void;
}

interface StreamBodyOptions {
  readonly stream: SpecStream;
  readonly encoding: ItemEncoding;
  readonly scope: BodyScope;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/**
 * Sends the items of a stream to one client. A version is taken when the client is ready for it, so that a slow client gets the latest
 * one next, and nothing but the frame that is being written is held for it.
 */
export class StreamBody implements LastingBody, Writing, EventListenerObject {
  readonly #options: StreamBodyOptions;
  readonly #over = Promise.withResolvers<void>();
  #sink: FrameSink | undefined;
  /** Whether a frame is being made or written, or waits for its turn. */
  #isBusy = false;
  #endsWith: StatusError | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #isEnding = false;
  #isOver = false;

  constructor(options: StreamBodyOptions) {
    this.#options = options;
    const { stream, signal } = options;
    stream.onReady = () => this.#wake();
    // Without a reader of the body this is the end as well, and no fault.
    this.#over.promise.catch(() => {});
    signal.addEventListener("abort", this, { once: true });
    if (signal.aborted) this.handleEvent();
  }

  writeTo(sink: FrameSink): Promise<void> {
    this.#sink = sink;
    this.#wake();
    return this.#over.promise;
  }

  /** The client is gone. Not a closure: each would take memory as long as the stream is open. */
  handleEvent(): void {
    this.#failed(this.#options.signal.reason);
  }

  /** Ends the body in `ms`, as {@link end} does. */
  endAfter(ms: number, reason: StatusError): void {
    if (!this.#isOver) this.#deadline = setTimeout(() => this.end(reason), ms);
  }

  /** Ends the body after the frame that is being sent. */
  end(reason: StatusError): void {
    this.#endsWith ??= reason;
    this.#wake();
  }

  writeSlice(): void {
    this.#isBusy = false;
    if (this.#isOver || this.#sink === undefined) return;
    const { stream, encoding } = this.#options;
    if (this.#isEnding) {
      this.#close();
      this.#over.resolve();
      return;
    }
    const end = this.#endsWith ?? stream.ended;
    if (end !== undefined) {
      this.#isEnding = true;
      this.#write(encoding.end(end));
      return;
    }
    const next = stream.nextVersion;
    const preparing = next && encoding.prepare(next);
    if (preparing !== undefined) {
      this.#isBusy = true;
      preparing.then(
        () => this.#turnOver(),
        (error: unknown) => this.#failed(error),
      );
      return;
    }
    const item = stream.take();
    if (item !== undefined) this.#write(encoding.encode(item));
  }

  #write(frame: SharedFrame): void {
    this.#isBusy = true;
    const written = this.#sink?.write(frame);
    if (written === undefined) this.#written();
    else
      written.then(
        () => this.#written(),
        (error: unknown) => this.#failed(error),
      );
  }

  #written(): void {
    if (this.#isOver) return;
    if (!this.#isEnding) this.#options.stream.sent();
    this.#turnOver();
  }

  #turnOver(): void {
    this.#isBusy = false;
    this.#wake();
  }

  #failed(reason: unknown): void {
    this.#close();
    this.#over.reject(reason);
  }

  #wake(): void {
    if (this.#sink === undefined || this.#isBusy || this.#isOver) return;
    this.#isBusy = true;
    this.#options.scope.pump.add(this);
  }

  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#deadline);
    const { stream, signal, scope } = this.#options;
    signal.removeEventListener("abort", this);
    stream.close();
    scope.onClosed(this);
  }
}
