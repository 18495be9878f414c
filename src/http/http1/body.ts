import { RESPONSE_TIMEOUT_MS } from "../exchange.ts";
import type { ByteTransport } from "./response.ts";

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

/**
 * How long a connection that ends is still read from: a client whose bytes meet a closed socket loses the answer that
 * it has not read yet (RFC 9112, 9.6).
 */
export const LINGER_MS = 2_000;

/** The same for a request that was answered before all of it came: many clients send all before they read. */
export const LINGER_IN_BODY_MS = 15_000;
const MAX_DISCARDED_BYTES = 64 * 1024 * 1024;

/** What is known of a client that is still sending, or still receiving, when all that it asked for is answered. */
export class Linger {
  readonly #transport: ByteTransport;
  #discardedBytes = 0;
  /** At the last look. */
  #unsentBytes = Number.POSITIVE_INFINITY;
  #receivedAtMs = 0;

  constructor(transport: ByteTransport) {
    this.#transport = transport;
  }

  /** What is dropped is counted for each request by itself. */
  begin(): void {
    this.#discardedBytes = 0;
  }

  /** Cuts the connection of a client that sends without an end. */
  discard(bytes: number): void {
    this.#discardedBytes += bytes;
    if (this.#discardedBytes > MAX_DISCARDED_BYTES) this.#transport.destroy();
  }

  /** Whether the client goes on taking what the system has for it: to cut the connection would drop that. */
  isReceiving(nowMs: number): boolean {
    const unsentBytes = this.#transport.unsentBytes();
    if (unsentBytes < this.#unsentBytes) this.#receivedAtMs = nowMs;
    this.#unsentBytes = unsentBytes;
    return unsentBytes > 0 && nowMs - this.#receivedAtMs < RESPONSE_TIMEOUT_MS;
  }
}
