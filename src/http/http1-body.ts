/**
 * The body of a request while it comes. What has come waits here until it is read, and nothing more is read from the
 * connection meanwhile.
 */
export class IncomingBody {
  readonly #wantMore: () => void;
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  #reader: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  #isWanted = false;
  #isComplete = false;
  #isDiscarded = false;
  #failure: Error | undefined;

  /** `wantMore` is called when what had come is read, and more may be read from the connection. */
  constructor(wantMore: () => void) {
    this.#wantMore = wantMore;
  }

  /** Whether it has come as a whole. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Whether nothing more will come of it. */
  get isOver(): boolean {
    return this.#isComplete || this.#failure !== undefined;
  }

  get isDiscarded(): boolean {
    return this.#isDiscarded;
  }

  /** Whether something waits to be read. */
  get isFull(): boolean {
    return this.#chunks.length > 0;
  }

  push(chunk: Uint8Array<ArrayBuffer>): void {
    this.#chunks.push(chunk);
    this.#hand();
  }

  complete(): void {
    this.#isComplete = true;
    this.#hand();
  }

  /** The client went before all of it had come. */
  fail(error: Error): void {
    if (this.isOver) return;
    this.#failure = error;
    this.#chunks = [];
    this.#hand();
  }

  /** Nobody reads it, or the rest of it, any more. */
  discard(): void {
    this.#isDiscarded = true;
    this.#chunks = [];
    this.#wantMore();
  }

  /** To be called once. `onRead` is called when somebody begins to read it. */
  stream(onRead: () => void): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream(
      {
        pull: (controller) => {
          if (this.#reader === undefined) onRead();
          this.#reader = controller;
          this.#isWanted = true;
          this.#hand();
        },
        cancel: () => this.discard(),
      },
      { highWaterMark: 0 },
    );
  }

  #hand(): void {
    if (!this.#isWanted || this.#reader === undefined) return;
    // Small pieces are joined: each would cost its reader more than its bytes.
    const chunk = this.#chunks.length > 1 ? new Uint8Array(Buffer.concat(this.#chunks)) : this.#chunks[0];
    this.#chunks = [];
    if (this.#failure !== undefined) this.#reader.error(this.#failure);
    else if (chunk !== undefined) this.#reader.enqueue(chunk);
    else if (this.#isComplete) this.#reader.close();
    else {
      this.#wantMore();
      return;
    }
    this.#isWanted = false;
    this.#wantMore();
  }
}
