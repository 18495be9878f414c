import type { ByteTransport } from "./byte-writer.ts";
import { ANSWER_TIMEOUT_MS } from "./exchange.ts";

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
    return unsentBytes > 0 && nowMs - this.#receivedAtMs < ANSWER_TIMEOUT_MS;
  }
}
