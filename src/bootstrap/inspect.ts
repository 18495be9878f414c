import { readFile } from "node:fs/promises";
import { describeErrno } from "../platform/errors.ts";
import { freeBytes } from "../platform/shared-bytes.ts";
import type { ApiVersion, SpecFormat } from "../specs/feed.ts";
import { inspectCoded } from "../specs/payload/encoding.ts";
import { readJsonFacts } from "../specs/payload/json.ts";
import { isInFuture, type PayloadFacts, PayloadRefused } from "../specs/payload/payload.ts";
import { readProtoFacts } from "../specs/payload/proto.ts";
import { findShape } from "../specs/payload/shape.ts";
import { readName } from "./names.ts";

export interface InspectionRequest {
  readonly path: string;
  /** The name that the operator knows the file by. */
  readonly name: string;
  /** Limit of the size of a config spec, as it is stored and decoded. */
  readonly maxBytes: number;
}

/** What a file holds. */
export type Inspection =
  | {
      readonly kind: "spec";
      readonly version: ApiVersion;
      readonly format: SpecFormat;
      /** The Content-Encoding that the bytes of the file have. */
      readonly coding: string;
      /** `hashed_sdk_key_used`; undefined if the config spec does not name an SDK key. */
      readonly hashedSdkKey: string | undefined;
      readonly lcut: number;
    }
  | { readonly kind: "unusable"; readonly reason: string };

type Bytes = Uint8Array<ArrayBuffer>;

const OPEN_OBJECT = 0x7b;

/**
 * Reads a file and finds out what it holds, whatever its name says about compression: a client that asked for a compressed response
 * saves that under the name of the plain one. Needs as much memory as a payload that is prepared, so it runs in a Worker.
 */
export async function inspectFile({ path, name, maxBytes }: InspectionRequest): Promise<Inspection> {
  let bytes: Bytes;
  try {
    bytes = new Uint8Array(await readFile(path));
  } catch (error) {
    return unusable(describeErrno(error));
  }
  try {
    return await inspectBytes(bytes, name, maxBytes);
  } catch (error) {
    if (error instanceof PayloadRefused) return unusable(error.message);
    throw error;
  }
}

async function inspectBytes(bytes: Bytes, name: string, maxBytes: number): Promise<Inspection> {
  if (bytes.length === 0) return unusable("it is empty");
  const hints = readName(name);
  const coding = hints.isProto ? "statsig-br" : findCoding(bytes);
  const decoded = await (await inspectCoded(bytes, coding, maxBytes)).decode();
  const isJson = !hints.isProto && firstOf(decoded) === OPEN_OBJECT;
  if (!isJson && coding === "") return unusable(describeText(decoded));
  const facts = isJson ? readJsonFacts(decoded) : readProtoFacts(decoded);
  const version = isJson ? (findShape(decoded) ?? hints.version) : (hints.version ?? "v2");
  freeBytes(decoded);
  const lcut = facts.lcut;
  const problem = findProblem(facts);
  if (problem !== undefined || lcut === undefined) return unusable(problem ?? NO_TIME);
  if (version === undefined) return unusable(NO_VERSION);
  return {
    kind: "spec",
    version,
    format: isJson ? "json" : "proto",
    coding: isJson ? coding : "statsig-br",
    hashedSdkKey: facts.hashedSdkKey,
    lcut,
  };
}

const NO_TIME = "it has no time, so it is no config spec: time is the version in ms since 1970";
const NO_VERSION =
  "neither its members nor its name show whether it is for v1 or v2: name it *.v1.json or *.v2.json";

function findProblem({ hasUpdates, lcut }: PayloadFacts): string | undefined {
  if (!hasUpdates) return "it says that there are no updates, and has no config specs";
  if (lcut === undefined || !isInFuture(lcut, Date.now())) return undefined;
  return `its time ${lcut} is more than 24 h ahead of this machine's clock`;
}

/** Brotli has no signature: what is nothing else is taken for it. */
function findCoding(bytes: Bytes): string {
  const [first, second, third, fourth] = bytes;
  if (first === 0x1f && second === 0x8b) return "gzip";
  if (first === 0x28 && second === 0xb5 && third === 0x2f && fourth === 0xfd) return "zstd";
  return firstOf(bytes) === OPEN_OBJECT || isText(bytes) ? "" : "br";
}

const SAMPLE_BYTES = 64;

/** Compressed bytes hardly ever begin with this many that a text could have. */
function isText(bytes: Bytes): boolean {
  if (hasByteOrderMark(bytes)) return true;
  const isPrintable = (byte: number) => byte >= 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
  return bytes.subarray(0, SAMPLE_BYTES).every(isPrintable);
}

function firstOf(bytes: Bytes): number | undefined {
  return bytes.find((byte) => byte > 0x20);
}

const BYTE_ORDER_MARKS: readonly (readonly number[])[] = [
  [0xef, 0xbb, 0xbf],
  [0xff, 0xfe],
  [0xfe, 0xff],
];

function hasByteOrderMark(bytes: Bytes): boolean {
  return BYTE_ORDER_MARKS.some((mark) => mark.every((byte, at) => bytes[at] === byte));
}

function describeText(bytes: Bytes): string {
  return hasByteOrderMark(bytes)
    ? "it begins with a byte order mark: save it as UTF-8 without one"
    : "it is not a JSON object; an error message may have been saved instead of config specs";
}

function unusable(reason: string): Inspection {
  return { kind: "unusable", reason };
}
