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
  const fields: (ByteRange | undefined)[] = [];
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (type === WireType.LengthDelimited) {
      const to = readEnd(reader);
      if (field <= DATA) fields[field] = [reader.pos, to];
      reader.pos = to;
    } else if (field === KIND && type === WireType.Varint) kind = reader.int32();
    else reader.skip(type, field);
  }
  if (reader.pos !== end) throw new RangeError("a field ends after its envelope");
  return { kind, name: fields[NAME], checksum: fields[CHECKSUM], data: fields[DATA], whole: [start, end] };
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
