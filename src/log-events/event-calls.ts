import type { EventChunk } from "./event-chunk.ts";
import type { BodyReading, RawBatch } from "./event-reader.ts";

export interface PackedContents {
  readonly chunks: readonly EventChunk[];
  /** The JSON text of `statsigMetadata`; empty if there is none. */
  readonly metadata: string;
}

/** What a Worker of events can be asked. */
export type EventCall =
  | { readonly kind: "read"; readonly raw: RawBatch }
  | { readonly kind: "remember"; readonly digests: Uint32Array<ArrayBuffer> }
  | { readonly kind: "pack"; readonly contents: PackedContents };

export type EventReply =
  | BodyReading
  | { readonly kind: "remembered"; readonly hasTurned: boolean }
  | { readonly kind: "packed"; readonly body: Uint8Array<ArrayBuffer> };
