import { createHash } from "node:crypto";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import { djb2 } from "../../src/access/sdk-key.ts";
import { RenderedRevision } from "../../src/demo/render.ts";
import {
  SpecSchema,
  type SpecsEnvelope,
  SpecsEnvelopeKind,
  SpecsEnvelopeSchema,
  SpecsTopLevelSchema,
} from "../../src/gen/statsig_config_specs_pb.ts";
import { largeProject } from "./large-project.ts";

/** One version of a project in protobuf, as upstream sends it. */
export interface ProtoVersion {
  readonly lcut: number;
  readonly checksum: string;
  readonly statsigBr: Uint8Array<ArrayBuffer>;
}

/** Which entities successive versions change. */
export const CHOICES = ["same", "different"] as const;
export type Choice = (typeof CHOICES)[number];

export function parseChoice(text: string): Choice {
  const choice = CHOICES.find((each) => each === text);
  if (choice === undefined) throw new Error(`invalid choice "${text}" (expected ${CHOICES.join(" or ")})`);
  return choice;
}

/** Statsig compresses with this quality: its payloads, compressed again, have the same length. */
const BR_QUALITY = 5;

const SPEC_KINDS: readonly SpecsEnvelopeKind[] = [
  SpecsEnvelopeKind.FEATURE_GATE,
  SpecsEnvelopeKind.DYNAMIC_CONFIG,
  SpecsEnvelopeKind.LAYER_CONFIG,
];

/** A project of 5 MB JSON, and the versions that follow from its changes. */
export class ProtoProject {
  /** Size of the first version as JSON. */
  readonly jsonBytes: number;
  readonly entities: number;
  readonly sdkKeyHash: string;
  readonly #envelopes: SpecsEnvelope[];
  /** Positions of gates, configs and layers in the order in which they change. The first is a gate. */
  readonly #specs: readonly number[];
  readonly #encoded: Uint8Array[];
  #lcut: number;
  #changed = 0;

  /** The first version has `firstLcut`, and each later one 1 more. */
  constructor(sdkKey: string, firstLcut: number) {
    this.sdkKeyHash = djb2(sdkKey);
    const rendered = new RenderedRevision(largeProject(), sdkKey);
    this.jsonBytes = rendered.json("v2", "identity").length;
    this.#envelopes = readEnvelopes(brotliDecompressSync(rendered.proto()));
    for (const each of this.#envelopes) each.checksum = checksumOf(each.data);
    this.#encoded = this.#envelopes.map(encode);
    this.#specs = mix(this.#envelopes.flatMap((each, at) => (isSmallSpec(each) ? [at] : [])));
    // TOP_LEVEL and DONE are no entities.
    this.entities = this.#envelopes.length - 2;
    this.#lcut = firstLcut - 1;
  }

  /** Returns the next version, in which `count` gates, configs or layers have changed. */
  next(count: number, choice: Choice): ProtoVersion {
    if (choice === "same") this.#changed = 0;
    for (let each = 0; each < count; each++) {
      const at = this.#specs[this.#changed++ % this.#specs.length];
      if (at !== undefined) this.#change(at);
    }
    this.#lcut++;
    const checksum = String(7_000_000_000_000_000_000n + BigInt(this.#lcut));
    this.#replace(0, (topLevel) => {
      const message = fromBinary(SpecsTopLevelSchema, topLevel);
      message.time = BigInt(this.#lcut);
      message.checksum = checksum;
      return toBinary(SpecsTopLevelSchema, message);
    });
    const params = { [constants.BROTLI_PARAM_QUALITY]: BR_QUALITY };
    const statsigBr = new Uint8Array(brotliCompressSync(Buffer.concat(this.#encoded), { params }));
    return { lcut: this.#lcut, checksum, statsigBr };
  }

  /** Size of the current version before compression. */
  get protoBytes(): number {
    return this.#encoded.reduce((sum, { length }) => sum + length, 0);
  }

  /** Changes the rollout of the first rule, as most changes of a project do. */
  #change(at: number): void {
    this.#replace(at, (data) => {
      const spec = fromBinary(SpecSchema, data);
      spec.version++;
      const [rule] = spec.rules;
      if (rule !== undefined) {
        rule.passPercentage = (rule.passPercentage + 5) % 101;
        rule.passPercentageFloat = rule.passPercentage;
      }
      return toBinary(SpecSchema, spec);
    });
  }

  #replace(at: number, change: (data: Uint8Array) => Uint8Array): void {
    const envelope = this.#envelopes[at];
    if (envelope?.data === undefined) throw new Error(`the project has no entity ${at}`);
    envelope.data = change(envelope.data);
    envelope.checksum = checksumOf(envelope.data);
    this.#encoded[at] = encode(envelope);
  }
}

/** Large configs seldom change. */
function isSmallSpec({ kind, data }: SpecsEnvelope): boolean {
  return SPEC_KINDS.includes(kind) && data !== undefined && data.length < 5_000;
}

/** Takes turns between the parts of a list, so that each stretch of the result has entities of all kinds. */
function mix(positions: readonly number[]): number[] {
  const stretches = 7;
  return Array.from({ length: stretches }, (_, first) =>
    positions.filter((_, at) => at % stretches === first),
  ).flat();
}

/** `BinaryReader.bytes` reads what follows a length. */
function readEnvelopes(bytes: Uint8Array): SpecsEnvelope[] {
  const reader = new BinaryReader(bytes);
  const envelopes: SpecsEnvelope[] = [];
  while (reader.pos < reader.len) envelopes.push(fromBinary(SpecsEnvelopeSchema, reader.bytes()));
  return envelopes;
}

function encode(envelope: SpecsEnvelope): Uint8Array {
  return sizeDelimitedEncode(SpecsEnvelopeSchema, envelope);
}

/** Statsig's checksums of entities are 128 bits, as base64. */
function checksumOf(data: Uint8Array | undefined): string {
  return createHash("md5")
    .update(data ?? "")
    .digest("base64");
}
