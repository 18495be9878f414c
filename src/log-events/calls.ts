import { gzipSync } from "node:zlib";
import type { GarbageLimit } from "../platform/garbage-limit.ts";
import { countBytes, type EventChunk, plainText } from "./chunk.ts";
import type { BodyReading, RawBatch } from "./parse.ts";

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

/** Events in JSON: a third of the time of level 6, for a tenth more bytes. */
const GZIP_LEVEL = 2;

const BEGIN = Buffer.from('{"events":[');
const COMMA = Buffer.from(",");

/** The body of a request to upstream, put together from source texts: nothing is parsed, nothing can change. */
export function packRequest(
  { chunks, metadata }: PackedContents,
  garbage: GarbageLimit,
): Uint8Array<ArrayBuffer> {
  garbage.add(2 * countBytes(chunks));
  const pieces: Uint8Array[] = [];
  for (const chunk of chunks) pieces.push(pieces.length === 0 ? BEGIN : COMMA, plainText(chunk));
  pieces.push(Buffer.from(metadata === "" ? "]}" : `],"statsigMetadata":${metadata}}`));
  // A copy, since what zlib returns may be a small part of a large buffer.
  return new Uint8Array(gzipSync(Buffer.concat(pieces), { level: GZIP_LEVEL }));
}
