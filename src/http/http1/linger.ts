import { RESPONSE_TIMEOUT_MS } from "../request-context.ts";
import type { ByteTransport } from "./transport.ts";

/**
 * How long a connection is still read from after its last response. A client whose bytes arrive at a closed socket loses
 * the response that it has not read yet (RFC 9112, 9.6).
 */
export const LINGER_MS = 2_000;

/** The same if the request body was not complete when the response was sent: many clients send all before they read. */
export const LINGER_IN_BODY_MS = 15_000;

/** A client may send this much of a request that has its response before the connection is cut. */
const MAX_DISCARDED_BYTES = 64 * 1024 * 1024;

/** Watches a client that is still sending, or still receiving, after its last response. */
export class Linger {
  readonly #transport: ByteTransport;
  #discardedBytes = 0;
  /** At the last check. */
  #unsentBytes = Number.POSITIVE_INFINITY;
  #receivedAtMs = 0;

  constructor(transport: ByteTransport) {
    this.#transport = transport;
  }

  /** Starts the count of discarded bytes again. To be called for each request. */
  reset(): void {
    this.#discardedBytes = 0;
  }

  /** Counts discarded bytes, and cuts the connection of a client that never stops sending. */
  discard(bytes: number): void {
    this.#discardedBytes += bytes;
    if (this.#discardedBytes > MAX_DISCARDED_BYTES) this.#transport.destroy();
  }

  /** Whether the client still takes bytes that the system holds for it. Cutting the connection would drop them. */
  isReceiving(nowMs: number): boolean {
    const unsentBytes = this.#transport.unsentBytes();
    if (unsentBytes < this.#unsentBytes) this.#receivedAtMs = nowMs;
    this.#unsentBytes = unsentBytes;
    return unsentBytes > 0 && nowMs - this.#receivedAtMs < RESPONSE_TIMEOUT_MS;
  }
}
