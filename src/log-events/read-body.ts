import { hash } from "node:crypto";
import { decodeBody } from "./decode-body.ts";
import { exposureIdentity } from "./exposure-identity.ts";
import { SEPARATOR } from "./joined-events.ts";
import { fieldsOf, type ReadBatch, readBatch } from "./read-batch.ts";
import { DIGEST_WORDS } from "./seen-digests.ts";

/** A request's body as it came. */
export interface RawBatch {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly contentEncoding: string;
  readonly sdkKey: string;
  /** Before and after decoding. */
  readonly maxBytes: number;
  readonly dedupe: boolean;
}

export type BodyReading =
  | {
      readonly kind: "read";
      /** The events' texts with {@link SEPARATOR} between them: one string goes between threads faster than many. */
      readonly joined: string;
      readonly count: number;
      /** UTF-8 bytes of all events. */
      readonly bytes: number;
      /** Exposures that the batch itself repeats; they are not among the events. */
      readonly repeats: number;
      readonly metadata: string;
      /** {@link DIGEST_WORDS} for each event; undefined where there is no exposure. */
      readonly digests: Uint32Array<ArrayBuffer> | undefined;
    }
  | { readonly kind: "malformed" }
  | { readonly kind: "too_large" };

const DIGEST_BYTES = 4 * DIGEST_WORDS;

/** From bytes to events: decodes, checks, takes apart. Runs where it holds up nobody. */
export function readBody({ body, contentEncoding, maxBytes, sdkKey, dedupe }: RawBatch): BodyReading {
  const decoded = decodeBody(body, contentEncoding, maxBytes);
  if (decoded.kind !== "decoded") return decoded;
  // Bytes that are no UTF-8 come out as U+FFFD: the batch is worth more than the character.
  const batch = readBatch(new TextDecoder().decode(decoded.bytes));
  if (batch === undefined) return { kind: "malformed" };
  const { texts, digests, repeats } = dedupe ? withDigests(batch, sdkKey) : withoutDigests(batch);
  const joined = texts.join(SEPARATOR);
  const bytes = Buffer.byteLength(joined) - Math.max(0, texts.length - 1);
  return { kind: "read", joined, count: texts.length, bytes, repeats, metadata: batch.metadata, digests };
}

interface Told {
  readonly texts: readonly string[];
  readonly digests: Uint32Array<ArrayBuffer> | undefined;
  readonly repeats: number;
}

function withoutDigests(batch: ReadBatch): Told {
  return { texts: batch.events.map(({ text }) => text), digests: undefined, repeats: 0 };
}

function withDigests({ events, metadataValue }: ReadBatch, sdkKey: string): Told {
  const context = { sdkKey, batchStableId: fieldsOf(metadataValue)?.["stableID"] };
  const texts: string[] = [];
  const digests = Buffer.alloc(events.length * DIGEST_BYTES);
  const seen = new Set<string>();
  for (const { text, value } of events) {
    const identity = exposureIdentity(value, context);
    if (identity !== undefined) {
      const digest = hash("sha256", identity, "hex").slice(0, 2 * DIGEST_BYTES);
      if (seen.has(digest)) continue;
      seen.add(digest);
      digests.write(digest, texts.length * DIGEST_BYTES, "hex");
    }
    texts.push(text);
  }
  return {
    texts,
    digests:
      seen.size === 0
        ? undefined
        : new Uint32Array(new Uint8Array(digests).buffer, 0, texts.length * DIGEST_WORDS),
    repeats: events.length - texts.length,
  };
}
