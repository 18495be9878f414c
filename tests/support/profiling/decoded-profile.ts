import { gunzipSync } from "node:zlib";
import { Profile } from "pprof-format";

interface DecodedSample {
  /** The innermost frame first. */
  readonly stack: readonly { readonly name: string; readonly file: string; readonly line: number }[];
  /** Samples, or objects. */
  readonly count: number;
  /** Nanoseconds, or bytes. */
  readonly value: number;
  /** Undefined for what no thread accounts for. */
  readonly thread: string | undefined;
}

/** A pprof file, as a decoder that is not ours reads it. */
export interface DecodedProfile {
  readonly sampleTypes: readonly (readonly [type: string, unit: string])[];
  readonly samples: readonly DecodedSample[];
  readonly comments: readonly string[];
  readonly timeMs: number;
  readonly durationMs: number;
  readonly period: number;
}

export function decodePprof(file: Uint8Array): DecodedProfile {
  const profile = Profile.decode(gunzipSync(file));
  const text = (index: number | bigint): string => profile.stringTable.strings[Number(index)] ?? "?";
  const functions = new Map(profile.function.map((each) => [Number(each.id), each]));
  const locations = new Map(profile.location.map((each) => [Number(each.id), each]));
  const toFrame = (id: number | bigint) => {
    const [line] = locations.get(Number(id))?.line ?? [];
    const called = functions.get(Number(line?.functionId));
    if (line === undefined || called === undefined) throw new Error(`location ${id} has no function`);
    return { name: text(called.name), file: text(called.filename), line: Number(line.line) };
  };
  return {
    sampleTypes: profile.sampleType.map(({ type, unit }) => [text(type), text(unit)]),
    samples: profile.sample.map(({ locationId, value, label }) => ({
      stack: locationId.map(toFrame),
      count: Number(value[0]),
      value: Number(value[1]),
      thread: label.filter(({ key }) => text(key) === "thread").map(({ str }) => text(str))[0],
    })),
    comments: profile.comment.map(text),
    timeMs: Number(profile.timeNanos) / 1e6,
    durationMs: Number(profile.durationNanos) / 1e6,
    period: Number(profile.period),
  };
}

export function totalOf(profile: DecodedProfile, of: "count" | "value"): number {
  return profile.samples.reduce((sum, sample) => sum + sample[of], 0);
}

/** Returns the names of the threads that have samples, sorted. */
export function threadsOf({ samples }: DecodedProfile): readonly string[] {
  return [...new Set(samples.flatMap(({ thread }) => thread ?? []))].sort();
}

/** Returns `name file` of every frame of the threads whose name begins so. */
export function framesOf({ samples }: DecodedProfile, thread: string): ReadonlySet<string> {
  const own = samples.filter((sample) => sample.thread?.startsWith(thread));
  return new Set(own.flatMap(({ stack }) => stack.map(({ name, file }) => `${name} ${file}`.trim())));
}
