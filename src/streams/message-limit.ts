import type { Snapshot } from "../specs/snapshot.ts";
import { StatusError } from "./status-error.ts";

/**
 * Limits the messages with config specs that gRPC clients get. The client libraries refuse larger ones, and Statsig's SDKs have no
 * option for it: each reconnect would send the config spec in vain (docs/protocol.md, Large config specs).
 */
export class MessageLimit {
  #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** Changes the limit. Open streams whose version is larger end with their next message. */
  setMax(maxBytes: number): void {
    this.#maxBytes = maxBytes;
  }

  /** Returns the bytes of the message with this version if it is too large, otherwise undefined. */
  exceededBy({ grpcFrame }: Pick<Snapshot, "grpcFrame">): number | undefined {
    const bytes = readMessageBytes(grpcFrame);
    return bytes > this.#maxBytes ? bytes : undefined;
  }

  /** Returns what a client is sent instead of a message of this size. SDKs log it. */
  toError(bytes: number): StatusError {
    return new StatusError(
      "resource_exhausted",
      `The config spec is too large for gRPC: ${bytes} bytes, at most ${this.#maxBytes} are sent (--grpc-max-message-size-in-mb of the relay). Let this client poll over HTTP; core SDKs do if network_http is the first adapter`,
    );
  }
}

/** A gRPC frame begins with a flag byte and the big-endian length of the message. */
function readMessageBytes(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getUint32(1);
}
