import { brotliDecompressSync } from "node:zlib";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { SpecsEnvelopeKind } from "../../../src/gen/statsig_config_specs_pb.ts";

// What a Rust-cored SDK does with protobuf payloads and deltas, written from docs/protocol.md and from what the SDK does. It shares
// no code with the relay, so that it can judge the relay's deltas.

interface Envelope {
  readonly kind: SpecsEnvelopeKind;
  readonly name: string;
  readonly checksum: string;
  readonly data: Uint8Array | undefined;
  /** The whole message, with fields that are not known. */
  readonly bytes: Uint8Array;
}

/** The fields whose checksums are verified, with the kind of their entities and the number of their names in DELETIONS. */
export const FIELDS = [
  { name: "condition_map", kind: SpecsEnvelopeKind.CONDITION, deletions: 5 },
  { name: "dynamic_configs", kind: SpecsEnvelopeKind.DYNAMIC_CONFIG, deletions: 1 },
  { name: "feature_gates", kind: SpecsEnvelopeKind.FEATURE_GATE, deletions: 2 },
  { name: "layer_configs", kind: SpecsEnvelopeKind.LAYER_CONFIG, deletions: 3 },
  { name: "param_stores", kind: SpecsEnvelopeKind.PARAM_STORE, deletions: 7 },
] as const;
type FieldName = (typeof FIELDS)[number]["name"];

const fieldOf = (kind: SpecsEnvelopeKind): FieldName | undefined =>
  FIELDS.find((field) => field.kind === kind)?.name;

/** An SDK refuses a delta for this reason. */
export class DeltaRefused extends Error {}

/** What an SDK holds. */
export class SdkSpecs {
  /** The message of the TOP_LEVEL envelope. */
  topLevel: Uint8Array = new Uint8Array();
  readonly #entities = new Map<FieldName, Map<string, Envelope>>(FIELDS.map(({ name }) => [name, new Map()]));

  /**
   * Applies a whole payload as an SDK does that holds `previous`. It keeps entities whose checksum is the same, and ignores those
   * that it cannot read.
   */
  static fromPayload(body: Uint8Array, previous = new SdkSpecs()): SdkSpecs {
    const next = new SdkSpecs();
    for (const envelope of readEnvelopes(body)) {
      if (envelope.kind === SpecsEnvelopeKind.TOP_LEVEL) next.topLevel = envelope.data ?? new Uint8Array();
      if (fieldOf(envelope.kind) !== undefined) next.#take(envelope, previous);
    }
    return next;
  }

  /** Applies a delta as an SDK does that holds `previous`. Throws {@link DeltaRefused} if the SDK would refuse it. */
  static fromDelta(body: Uint8Array, previous: SdkSpecs): SdkSpecs {
    const next = new SdkSpecs();
    for (const { name } of FIELDS) next.#entities.set(name, new Map(previous.#entitiesOf(name)));
    const [copyPrevious, topLevel, ...rest] = readEnvelopes(body);
    demand(copyPrevious?.kind === SpecsEnvelopeKind.COPY_PREV, "it does not begin with COPY_PREV");
    demand(topLevel?.kind === SpecsEnvelopeKind.TOP_LEVEL, "TOP_LEVEL does not follow COPY_PREV");
    demand(topLevel?.data !== undefined, "TOP_LEVEL has no data");
    next.topLevel = topLevel.data;
    demand(rest.pop()?.kind === SpecsEnvelopeKind.DONE, "it does not end with DONE");
    const sums = rest.pop();
    demand(sums?.kind === SpecsEnvelopeKind.CHECKSUMS, "CHECKSUMS do not come before DONE");
    for (const envelope of rest) {
      if (envelope.kind === SpecsEnvelopeKind.DELETIONS) next.#delete(envelope);
      else {
        demand(fieldOf(envelope.kind) !== undefined, `kind ${envelope.kind} is unexpected`);
        demand(next.#take(envelope, previous), `"${envelope.name}" has no data`);
      }
    }
    next.#verify(sums);
    return next;
  }

  /** Returns the entities by field and name, each as the hexadecimal bytes of its envelope. */
  entities(): Readonly<Record<string, string>> {
    const all = FIELDS.flatMap(({ name: field }) =>
      Array.from(this.#entitiesOf(field), ([name, { bytes }]) => [
        `${field} ${name}`,
        Buffer.from(bytes).toString("hex"),
      ]),
    );
    return Object.fromEntries(all.toSorted(([one = ""], [other = ""]) => (one < other ? -1 : 1)));
  }

  #entitiesOf(field: FieldName): Map<string, Envelope> {
    return this.#entities.get(field) ?? new Map();
  }

  /** Returns false if the envelope cannot be read. */
  #take(envelope: Envelope, previous: SdkSpecs): boolean {
    const field = fieldOf(envelope.kind);
    if (field === undefined) return false;
    const known = previous.#entitiesOf(field).get(envelope.name);
    const isSame = known !== undefined && known.checksum === envelope.checksum;
    if (!isSame && envelope.data === undefined) return false;
    this.#entitiesOf(field).set(envelope.name, isSame ? known : envelope);
    return true;
  }

  #delete({ data }: Envelope): void {
    demand(data !== undefined, "DELETIONS have no data");
    const reader = new BinaryReader(data);
    while (reader.pos < reader.len) {
      const [number] = reader.tag();
      const name = reader.string();
      const field = FIELDS.find(({ deletions }) => deletions === number)?.name;
      demand(field !== undefined, `DELETIONS have the field ${number}, which this delta does not need`);
      this.#entitiesOf(field).delete(name);
    }
  }

  #verify({ data }: Envelope): void {
    demand(data !== undefined, "CHECKSUMS have no data");
    const sums = readSums(data);
    for (const { name } of FIELDS) {
      const sum = sumOfChecksums(Array.from(this.#entitiesOf(name).values(), ({ checksum }) => checksum));
      const expected = sums.get(name);
      demand(expected !== undefined, `CHECKSUMS lack ${name}`);
      demand(sum === expected, `the checksum of ${name} is ${sum}, expected ${expected}`);
    }
    demand(sums.size === FIELDS.length, "CHECKSUMS have fields that no SDK knows");
  }
}

function demand(condition: boolean, problem: string): asserts condition {
  if (!condition) throw new DeltaRefused(problem);
}

/** Adds up the checksums that are 32-bit numbers, modulo 2^64. */
export function sumOfChecksums(checksums: readonly string[]): bigint {
  let sum = 0n;
  for (const checksum of checksums) sum += readU32(checksum);
  return BigInt.asUintN(64, sum);
}

/** As Rust parses a u32: decimal digits, perhaps after a plus sign. Returns 0 for other texts. */
function readU32(text: string): bigint {
  const [, digits] = /^\+?([0-9]+)$/.exec(text) ?? [];
  const value = digits === undefined || text.endsWith("\n") ? 0n : BigInt(digits);
  return value < 2n ** 32n ? value : 0n;
}

/** Reads the data of CHECKSUMS. */
export function readSums(data: Uint8Array): ReadonlyMap<string, bigint> {
  const sums = new Map<string, bigint>();
  const reader = new BinaryReader(data);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    demand(number === 1 && type === WireType.LengthDelimited, `CHECKSUMS have the field ${number}`);
    const entry = new BinaryReader(reader.bytes());
    let name = "";
    let sum = 0n;
    while (entry.pos < entry.len) {
      const [part] = entry.tag();
      if (part === 1) name = entry.string();
      else sum = BigInt(entry.uint64());
    }
    sums.set(name, sum);
  }
  return sums;
}

/** Reads a `statsig-br` body. Throws if its last message ends early. */
export function readEnvelopes(body: Uint8Array): readonly Envelope[] {
  const reader = new BinaryReader(brotliDecompressSync(body));
  const envelopes: Envelope[] = [];
  while (reader.pos < reader.len) envelopes.push(readEnvelope(reader.bytes()));
  return envelopes;
}

function readEnvelope(bytes: Uint8Array): Envelope {
  const reader = new BinaryReader(bytes);
  let kind: SpecsEnvelopeKind = SpecsEnvelopeKind.UNKNOWN;
  let [name, checksum] = ["", ""];
  let data: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === 1) kind = reader.int32() as SpecsEnvelopeKind;
    else if (number === 2) name = reader.string();
    else if (number === 3) checksum = reader.string();
    else if (number === 4) data = reader.bytes();
    else reader.skip(type, number);
  }
  return { kind, name, checksum, data, bytes };
}
