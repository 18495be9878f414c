import { brotliCompressSync } from "node:zlib";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { findDelta } from "../../../src/specs/deltas/delta.ts";
import { type Preparation, prepare } from "../../../src/specs/payload/prepare.ts";
import type { PreparedPayload } from "../../../src/specs/snapshot.ts";
import { MAX_PAYLOAD_BYTES } from "../upstream/payloads.ts";
import { raw } from "../upstream/raw-payloads.ts";
import { readEnvelopes } from "./sdk-specs.ts";
import { FEED } from "./version-chain.ts";

/** A delta as upstream sends it. */
export interface SentDelta {
  readonly bytes: Uint8Array;
  readonly contentDigest: string | undefined;
}

/** Returns the delta that a relay sends to a relay that holds another version. */
export function deltaBetween(from: PreparedPayload, to: PreparedPayload): SentDelta | undefined {
  const delta = findDelta({ ...to, receivedAt: 0 }, from, 0);
  return delta && { bytes: delta.bytes, contentDigest: to.contentDigest };
}

interface ApplyOptions {
  readonly contentEncoding?: string;
  readonly maxBytes?: number;
  /** Limit of versions from which the result has deltas. */
  readonly depth?: number;
}

/** Prepares the version to which a delta leads, as a relay does that holds `base`. */
export function prepareDelta(
  base: PreparedPayload,
  { bytes, contentDigest }: SentDelta,
  { contentEncoding = "statsig-br", maxBytes = MAX_PAYLOAD_BYTES, depth = 8 }: ApplyOptions = {},
): Promise<Preparation> {
  const delta = { base: base.bytes, contentDigest };
  return prepare({
    raw: raw(bytes, contentEncoding, { format: "proto", delta }),
    maxBytes,
    known: { feed: FEED, depth, histories: base.history === undefined ? [] : [base.history] },
  });
}

/** As {@link prepareDelta}; throws if the delta is refused. */
export async function applied(base: PreparedPayload, delta: SentDelta): Promise<PreparedPayload> {
  const preparation = await prepareDelta(base, delta);
  if (preparation.kind === "prepared" && preparation.deltaFault === undefined) return preparation.payload;
  throw new Error(`not prepared: ${JSON.stringify(preparation)}`);
}

/** Returns the envelopes of a `statsig-br` body, each after its length. */
export const splitBody = (body: Uint8Array): readonly Uint8Array[] =>
  readEnvelopes(body).map(({ bytes }) => new BinaryWriter().bytes(bytes).finish());

/** Returns the `statsig-br` body of these envelopes. */
export const joinBody = (...envelopes: readonly (Uint8Array | undefined)[]): Uint8Array =>
  brotliCompressSync(Buffer.concat(envelopes.map((envelope) => envelope ?? new Uint8Array())));
