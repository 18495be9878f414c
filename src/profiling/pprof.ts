import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type FunctionSchema,
  type LocationSchema,
  ProfileSchema,
  type SampleSchema,
} from "../gen/pprof_pb.ts";
import type { StackFrame, StackNode, ThreadProfile } from "../platform/profiling/stacks.ts";
import { SAMPLING_INTERVAL_US, type TakenProfile } from "./profiler.ts";

/** What the numbers of each sample are, as type and unit, in the words that viewers of Go profiles know. */
const VALUES = {
  cpu: [
    ["samples", "count"],
    ["cpu", "nanoseconds"],
  ],
  heap: [
    ["objects", "count"],
    ["space", "bytes"],
  ],
} as const;

/** The frame of what no thread accounts for. */
export const OUTSIDE = { cpu: "(outside JavaScript)", heap: "(outside JavaScript heaps)" } as const;

/**
 * Returns the profile as gzipped pprof, which `go tool pprof`, speedscope and Google Cloud Profiler read. Each sample has the label
 * `thread`, and the comments name the threads that did not reply.
 */
export async function encodePprof(profile: TakenProfile): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = toBinary(ProfileSchema, toMessage(profile));
  return new Uint8Array(await promisify(gzip)(bytes));
}

function toMessage(profile: TakenProfile) {
  const { kind, startedAt, durationMs, threads, missing, outside } = profile;
  const tables = new Tables();
  const types = VALUES[kind].map(([type, unit]) => ({ type: tables.text(type), unit: tables.text(unit) }));
  const sample = [
    ...threads.flatMap((thread) => toSamples(thread, tables)),
    toOutsideSample(OUTSIDE[kind], outside, tables),
  ];
  const [, periodType] = types;
  return create(ProfileSchema, {
    sampleType: types,
    sample,
    mapping: [
      {
        id: MAPPING,
        filename: tables.text("statsig-forward-proxy"),
        hasFunctions: true,
        hasFilenames: true,
        hasLineNumbers: true,
      },
    ],
    comment: missing.map((thread) => tables.text(`no reply from thread ${thread}`)),
    timeNanos: BigInt(Math.round(startedAt)) * 1_000_000n,
    durationNanos: BigInt(Math.round(durationMs * 1e6)),
    ...(periodType && { periodType }),
    period: kind === "cpu" ? BigInt(SAMPLING_INTERVAL_US) * 1_000n : 1n,
    defaultSampleType: periodType?.type ?? 0n,
    location: tables.locations,
    function: tables.functions,
    stringTable: tables.texts,
  });
}

/** Locations are in one program: that of the relay. */
const MAPPING = 1n;

type InitOf<Schema extends typeof FunctionSchema | typeof LocationSchema | typeof SampleSchema> =
  MessageInitShape<Schema>;

function toSamples({ thread, nodes }: ThreadProfile, tables: Tables): InitOf<typeof SampleSchema>[] {
  const label = [{ key: tables.text("thread"), str: tables.text(thread) }];
  return nodes
    .filter(({ count, value }) => count > 0 || value > 0)
    .map((node) => ({
      locationId: toStack(node, nodes, tables),
      value: [BigInt(node.count), BigInt(Math.round(node.value))],
      label,
    }));
}

/** The innermost function is where its samples are, the others where they begin: the runtime does not say where they call. */
function toStack(top: StackNode, nodes: readonly StackNode[], tables: Tables): bigint[] {
  const stack = [tables.location(top.frame, top.hotLine)];
  for (let node = nodes[top.parent]; node !== undefined; node = nodes[node.parent]) {
    stack.push(tables.location(node.frame));
  }
  return stack;
}

/** It is no sample, so that it counts for none. */
function toOutsideSample(name: string, value: number, tables: Tables): InitOf<typeof SampleSchema> {
  const location = tables.location({ name, file: "", line: 0, column: 0 });
  return { locationId: [location], value: [0n, BigInt(Math.round(value))] };
}

/** What the samples refer to, each entry once. */
class Tables {
  readonly texts = [""];
  readonly functions: InitOf<typeof FunctionSchema>[] = [];
  readonly locations: InitOf<typeof LocationSchema>[] = [];
  readonly #textIndexes = new Map([["", 0n]]);
  readonly #functionIds = new Map<string, bigint>();
  readonly #locationIds = new Map<string, bigint>();

  text(text: string): bigint {
    return remember(this.#textIndexes, text, () => BigInt(this.texts.push(text) - 1));
  }

  location(frame: StackFrame, line = frame.line): bigint {
    const functionId = this.#function(frame);
    return remember(this.#locationIds, `${functionId} ${line}`, () => {
      const id = BigInt(this.locations.length + 1);
      this.locations.push({ id, mappingId: MAPPING, line: [{ functionId, line: BigInt(line) }] });
      return id;
    });
  }

  #function({ name, file, line, column }: StackFrame): bigint {
    return remember(this.#functionIds, [name, file, line, column].join("\n"), () => {
      const id = BigInt(this.functions.length + 1);
      const text = this.text(name);
      const startLine = BigInt(line);
      this.functions.push({ id, name: text, systemName: text, filename: this.text(file), startLine });
      return id;
    });
  }
}

function remember(known: Map<string, bigint>, key: string, add: () => bigint): bigint {
  const found = known.get(key);
  if (found !== undefined) return found;
  const added = add();
  known.set(key, added);
  return added;
}
