import { sliceElements, sliceMembers } from "./json-slices.ts";

/** One event: as it will be forwarded, and as it is understood. */
export interface ReadEvent {
  /** Exactly as it was sent. */
  readonly text: string;
  /** Of any type: an event that is no object is kept as well. */
  readonly value: unknown;
}

/** What a log_event body says (WIRE 5). */
export interface ReadBatch {
  readonly events: readonly ReadEvent[];
  /** The source text of `statsigMetadata`; empty where there is none. */
  readonly metadata: string;
  readonly metadataValue: unknown;
}

/** Undefined where the text is no JSON object with an array of `events`. */
export function readBatch(text: string): ReadBatch | undefined {
  const body = parseObject(text);
  const values = body?.["events"];
  if (body === undefined || !Array.isArray(values)) return undefined;
  const slices = sliceMembers(text, ["events", "statsigMetadata"]);
  const texts = sliceElements(slices.get("events") ?? "[]");
  return {
    events: texts.map((each, at) => ({ text: each, value: values[at] as unknown })),
    metadata: slices.get("statsigMetadata") ?? "",
    metadataValue: body["statsigMetadata"],
  };
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** The fields of a JSON object; undefined for what is none. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
}
