import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { isEntityKind } from "../deltas/entities.ts";
import { readEnvelopes } from "./envelopes.ts";
import { readJsonFacts } from "./json.ts";
import { limitChecksum, type PayloadFacts, PayloadRefused, parseLcut } from "./payload.ts";

/** The values of `SpecsEnvelopeKind` that the relay needs; see proto/statsig_config_specs.proto. */
const KIND_DONE = 1;
const KIND_TOP_LEVEL = 2;
const KIND_COPY_PREV = 10;

/**
 * Reads a decompressed protobuf config spec: `SpecsEnvelope` messages, each after its length as a varint. SDKs need a TOP_LEVEL
 * and, at the end, DONE. Throws {@link PayloadRefused} if one is missing, the bytes end early, or they are a delta. Entities without
 * data, which an SDK may have, are refused on request only: SDKs ignore those that they do not have.
 */
export function readProtoFacts(bytes: Uint8Array, { mustBeWhole = false } = {}): PayloadFacts {
  let topLevel: PayloadFacts | undefined;
  let last = 0;
  try {
    for (const { kind, data } of readEnvelopes(bytes)) {
      if (kind === KIND_TOP_LEVEL) topLevel = readTopLevel(data ? bytes.subarray(...data) : new Uint8Array());
      if (kind === KIND_COPY_PREV || (mustBeWhole && isEntityKind(kind) && data === undefined))
        throw new PayloadRefused("delta", "the body is only a part of a version, and not marked as a delta");
      last = kind;
    }
  } catch (error) {
    if (error instanceof PayloadRefused) throw error;
    throw new PayloadRefused("malformed", "the body is not a sequence of protobuf envelopes");
  }
  if (last !== KIND_DONE)
    throw new PayloadRefused("malformed", "the protobuf envelopes do not end with DONE");
  if (topLevel === undefined)
    throw new PayloadRefused("malformed", "the protobuf envelopes have no TOP_LEVEL");
  return topLevel;
}

function readTopLevel(bytes: Uint8Array): PayloadFacts {
  let hasUpdates = false;
  let time = 0;
  let checksum = "";
  let rest: Uint8Array | undefined;
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1 && type === WireType.Varint) hasUpdates = reader.bool();
    else if (field === 2 && type === WireType.Varint) time = Number(reader.uint64());
    else if (field === 5 && type === WireType.LengthDelimited) checksum = limitChecksum(reader.string());
    else if (field === 7 && type === WireType.LengthDelimited) rest = reader.bytes();
    else reader.skip(type, field);
  }
  const hashedSdkKey = rest?.length ? readJsonFacts(rest).hashedSdkKey : undefined;
  return { hasUpdates, lcut: time > 0 ? parseLcut(time) : undefined, checksum, hashedSdkKey };
}
