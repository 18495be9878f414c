import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** Start and end offsets. Views of all envelopes would take more memory than the bytes. */
export type ByteRange = readonly [from: number, to: number];

/** A `SpecsEnvelope` of a protobuf config spec; see proto/statsig_config_specs.proto. */
export interface Envelope {
  /** A `SpecsEnvelopeKind`. It may be one that the relay does not know. */
  readonly kind: number;
  readonly name: ByteRange | undefined;
  readonly checksum: ByteRange | undefined;
  readonly data: ByteRange | undefined;
  /** Whether it has a field that is not in proto/statsig_config_specs.proto. */
  readonly hasUnknownField: boolean;
  /** All of it, with the length before it. */
  readonly whole: ByteRange;
}

/** Yields the envelopes of a decompressed config spec. Throws if the bytes are not a sequence of envelopes. */
export function* readEnvelopes(bytes: Uint8Array): Generator<Envelope, void, undefined> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) yield readEnvelope(reader);
}

/** Reads an envelope, starting with its length. */
function readEnvelope(reader: BinaryReader): Envelope {
  const start = reader.pos;
  const end = readEnd(reader);
  let kind = 0;
  let hasUnknownField = false;
  const fields: (ByteRange | undefined)[] = [];
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (type === WireType.LengthDelimited) {
      const to = readEnd(reader);
      if (field <= DATA) fields[field] = [reader.pos, to];
      else hasUnknownField = true;
      reader.pos = to;
    } else if (field === KIND && type === WireType.Varint) kind = reader.int32();
    else {
      hasUnknownField = true;
      reader.skip(type, field);
    }
  }
  if (reader.pos !== end) throw new RangeError("a field ends after its envelope");
  const [name, checksum, data] = [fields[NAME], fields[CHECKSUM], fields[DATA]];
  return { kind, name, checksum, data, hasUnknownField, whole: [start, end] };
}

/** The numbers of the fields. */
const KIND = 1;
const NAME = 2;
const CHECKSUM = 3;
const DATA = 4;

function readEnd(reader: BinaryReader): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError("the bytes end early");
  return end;
}
