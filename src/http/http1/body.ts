/**
 * The body of a request while it arrives. Chunks wait here until they are read, and nothing more is read from the connection
 * meanwhile.
 */
export class IncomingBody {
  readonly #wantMore: () => void;
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  #isPullPending = false;
  #isComplete = false;
  #isDiscarded = false;
  #failure: Error | undefined;

  /** `wantMore` is called when the waiting chunks are read, and the connection may be read again. */
  constructor(wantMore: () => void) {
    this.#wantMore = wantMore;
  }

  /** Whether all of the body has arrived. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Whether nothing more of the body will arrive. */
  get isOver(): boolean {
    return this.#isComplete || this.#failure !== undefined;
  }

  get isDiscarded(): boolean {
    return this.#isDiscarded;
  }

  /** Whether a chunk waits to be read. */
  get isFull(): boolean {
    return this.#chunks.length > 0;
  }

  push(chunk: Uint8Array<ArrayBuffer>): void {
    this.#chunks.push(chunk);
    this.#deliver();
  }

  complete(): void {
    this.#isComplete = true;
    this.#deliver();
  }

  /** The client went before the body was complete. */
  fail(error: Error): void {
    if (this.isOver) return;
    this.#failure = error;
    this.#chunks = [];
    this.#deliver();
  }

  /** The rest of the body will not be read. */
  discard(): void {
    this.#isDiscarded = true;
    this.#chunks = [];
    this.#wantMore();
  }

  /** Returns the body as a stream. May be called once. `onRead` is called before the first read. */
  stream(onRead: () => void): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream(
      {
        pull: (controller) => {
          if (this.#controller === undefined) onRead();
          this.#controller = controller;
          this.#isPullPending = true;
          this.#deliver();
        },
        cancel: () => {
          // The stream takes nothing any more.
          this.#isPullPending = false;
          this.discard();
        },
      },
      { highWaterMark: 0 },
    );
  }

  #deliver(): void {
    if (!this.#isPullPending || this.#controller === undefined) return;
    // Small chunks are joined: each costs its reader more than its bytes do.
    const chunk = this.#chunks.length > 1 ? new Uint8Array(Buffer.concat(this.#chunks)) : this.#chunks[0];
    this.#chunks = [];
    if (this.#failure !== undefined) this.#controller.error(this.#failure);
    else if (chunk !== undefined) this.#controller.enqueue(chunk);
    else if (this.#isComplete) this.#controller.close();
    else {
      this.#wantMore();
      return;
    }
    this.#isPullPending = false;
    this.#wantMore();
  }
}
