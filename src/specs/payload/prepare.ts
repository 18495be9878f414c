import { setImmediate } from "node:timers/promises";
import { collectGarbage } from "#runtime/threads.ts";
import { type DescribedError, describeError } from "../../platform/errors.ts";
import { freeBytes, moveToShared, type SharedBytes } from "../../platform/shared-bytes.ts";
import { applyDelta } from "../deltas/apply.ts";
import { computeDeltas, type KnownVersions, type NewVersion } from "../deltas/compute.ts";
import { type ContentCoding, digestBytes, type PreparedPayload } from "../snapshot.ts";
import { encode, inspectCoded } from "./encoding.ts";
import { frameSpec } from "./grpc-frame.ts";
import { readJsonFacts } from "./json.ts";
import {
  isInFuture,
  type PayloadFacts,
  PayloadRefused,
  type RawDelta,
  type RawPayload,
  type RefusalReason,
} from "./payload.ts";
import { readProtoFacts } from "./proto.ts";
import { restamp } from "./restamp.ts";

export type Preparation =
  | {
      readonly kind: "prepared";
      readonly payload: PreparedPayload;
      /** Set if the payload has no deltas because of an unexpected error. */
      readonly deltaFault?: DescribedError;
    }
  | { readonly kind: "no_update" }
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly detail: string };

/** Payloads that are larger than this when decoded are prepared one at a time. */
const LARGE_BYTES = 1024 * 1024;

/** Larger payloads are kept in fewer codings: each takes a fifth of their size, and an encoder at work two thirds of it. */
const VERY_LARGE_BYTES = 8 * 1024 * 1024;

const ALL_CODINGS = ["gzip", "br", "zstd"] as const;

/** Resolves when no large payload is being prepared. */
let largeTurn: Promise<unknown> = Promise.resolve();

export interface PreparationRequest {
  readonly raw: RawPayload;
  /** Limit of the size of the payload, as sent and decoded. */
  readonly maxBytes: number;
  /** What is known of earlier versions; undefined for no deltas. */
  readonly known?: KnownVersions | undefined;
}

/**
 * Checks a payload and makes every coding of it, in shared memory. Takes up to seconds of CPU time, so it runs in a Worker.
 * Frees `raw.body`: the caller must not use it again.
 */
export async function prepare(request: PreparationRequest): Promise<Preparation> {
  const { delta } = request.raw;
  try {
    const inspected = delta === undefined ? inspectWhole(request) : inspectDelta(request, delta);
    const { decodedBytes, work } = await inspected;
    return await (decodedBytes > LARGE_BYTES ? inTurn(work) : work());
  } catch (error) {
    if (error instanceof PayloadRefused)
      return { kind: "refused", reason: error.reason, detail: error.message };
    throw error;
  }
}

interface Inspected {
  readonly decodedBytes: number;
  readonly work: () => Promise<Preparation>;
}

async function inspectWhole({ raw, maxBytes, known }: PreparationRequest): Promise<Inspected> {
  if (raw.format === "proto") requireStatsigBr(raw);
  const body = await inspectCoded(raw.body, raw.contentEncoding, maxBytes);
  const work = async () => {
    const decoded = await body.decode();
    if (raw.restampTo !== undefined) return prepareRestamped(raw, decoded, raw.restampTo, known);
    return raw.format === "proto" ? prepareProto(raw, { decoded }, known) : prepareJson(raw, decoded);
  };
  return { decodedBytes: body.decodedBytes, work };
}

async function prepareRestamped(
  raw: RawPayload,
  original: Uint8Array<ArrayBuffer>,
  lcut: number,
  known: KnownVersions | undefined,
): Promise<Preparation> {
  const decoded = restamp(original, raw.format, lcut);
  freeBytes(original);
  // Without a coding they are the same bytes.
  if (raw.body.buffer !== original.buffer) freeBytes(raw.body);
  const renewed = { ...raw, headerLcut: lcut, contentEncoding: "", body: new Uint8Array() };
  if (raw.format === "json") return prepareJson(renewed, decoded);
  const body = await encode(decoded, "statsig-br");
  return prepareProto({ ...renewed, contentEncoding: "statsig-br", body }, { decoded }, known);
}

/** Makes the whole version. Its entity tag is that of a relay that got it whole, if the entities are in the same order. */
async function inspectDelta(request: PreparationRequest, from: RawDelta): Promise<Inspected> {
  const { raw, maxBytes, known } = request;
  if (raw.format !== "proto") throw new PayloadRefused("delta", "it is not protobuf");
  const { contentDigest } = from;
  const base = await inspectCoded(new Uint8Array(from.base), "statsig-br", maxBytes);
  const body = await inspectCoded(raw.body, raw.contentEncoding, maxBytes);
  const work = async () => {
    const [oldVersion, delta] = [await base.decode(), await body.decode()];
    const applied = applyDelta({ base: oldVersion, delta, contentDigest, maxBytes });
    return prepareProto({ ...raw, body: await encode(applied.decoded, "statsig-br") }, applied, known);
  };
  return { decodedBytes: base.decodedBytes + body.decodedBytes, work };
}

/**
 * Prepares large payloads one after the other, so that many at the same time need the memory of one. The garbage of each is
 * freed before the next: the runtime collects buffers only when it collects the small heap that refers to them.
 */
function inTurn(work: () => Promise<Preparation>): Promise<Preparation> {
  const result = largeTurn.then(work);
  largeTurn = result.catch(() => {}).then(cleanUp);
  return result;
}

/** Waits until the result was sent: until then it is in use. */
async function cleanUp(): Promise<void> {
  await setImmediate();
  collectGarbage();
}

async function prepareJson(raw: RawPayload, decoded: Uint8Array<ArrayBuffer>): Promise<Preparation> {
  const facts = readJsonFacts(decoded);
  if (!facts.hasUpdates) return { kind: "no_update" };
  const lcut = readLcut(raw, facts);
  const framed = frameSpec(decoded, lcut);
  freeBytes(decoded);
  const compressed = await encodeAll(raw, framed.bytes);
  return {
    kind: "prepared",
    payload: {
      lcut,
      checksum: facts.checksum,
      format: "json",
      ...framed,
      compressed,
      digest: digestBytes(framed.bytes),
    },
  };
}

/**
 * Keeps the coding that upstream sent, which is likely better compressed. Encodes one coding at a time, because each encoder
 * needs memory of its own. Very large payloads are encoded only as gzip, which every client accepts.
 */
async function encodeAll(raw: RawPayload, bytes: SharedBytes) {
  const wanted = bytes.length > VERY_LARGE_BYTES ? (["gzip"] as const) : ALL_CODINGS;
  const compressed: Partial<Record<ContentCoding, SharedBytes>> = {};
  for (const coding of ALL_CODINGS)
    if (raw.contentEncoding === coding) compressed[coding] = moveToShared(raw.body);
  for (const coding of wanted) {
    if (compressed[coding] !== undefined) continue;
    if (bytes.length > LARGE_BYTES) collectGarbage();
    compressed[coding] = moveToShared(await encode(bytes, coding));
  }
  return compressed;
}

function requireStatsigBr({ contentEncoding }: RawPayload): void {
  if (contentEncoding === "statsig-br") return;
  const detail = "the protobuf body is not encoded as statsig-br, which SDKs require";
  throw new PayloadRefused("undecodable", detail);
}

async function prepareProto(
  raw: RawPayload,
  { decoded, index }: Pick<NewVersion, "decoded" | "index">,
  known: KnownVersions | undefined,
): Promise<Preparation> {
  const facts = readProtoFacts(decoded, raw);
  if (!facts.hasUpdates) return { kind: "no_update" };
  const lcut = readLcut(raw, facts);
  const { checksum } = facts;
  const framed = frameSpec(raw.body, lcut);
  freeBytes(raw.body);
  const payload = { lcut, checksum, format: "proto", ...framed, compressed: {} } as const;
  const digest = digestBytes(framed.bytes);
  // Clients send the time in the body as theirs, whatever the header says.
  const version = { lcut: facts.lcut ?? lcut, checksum, decoded, index, bodyBytes: framed.bytes.length };
  const { result, fault } = tryDeltas(version, known);
  return {
    kind: "prepared",
    payload: { ...payload, digest, ...result },
    ...(fault && { deltaFault: fault }),
  };
}

/** The version is served in any case: without deltas if they cannot be computed. */
function tryDeltas(version: NewVersion, known: KnownVersions | undefined) {
  try {
    return { result: known && computeDeltas(version, known) };
  } catch (error) {
    return { fault: describeError(error) };
  }
}

const OTHER_KEY = "hashed_sdk_key_used in the body does not match this SDK key";
const UNNAMED_KEY =
  "the body has no hashed_sdk_key_used, and may belong to another SDK key; it is used if --allowed-sdk-keys or " +
  "--preload-sdk-keys lists this SDK key";

function readLcut(raw: RawPayload, facts: PayloadFacts): number {
  const hash = facts.hashedSdkKey;
  if (hash === undefined ? raw.mustNameKey === true : hash !== raw.sdkKeyHash) {
    throw new PayloadRefused("other_key", hash === undefined ? UNNAMED_KEY : OTHER_KEY);
  }
  const lcut = raw.headerLcut ?? facts.lcut;
  if (lcut === undefined) {
    throw new PayloadRefused("no_lcut", "no version: neither x-since-time nor time in the body is valid");
  }
  // SDKs use the time in the body, whatever the header says.
  requireNotInFuture(Math.max(lcut, facts.lcut ?? 0));
  return lcut;
}

function requireNotInFuture(lcut: number): void {
  const now = Date.now();
  if (!isInFuture(lcut, now)) return;
  const detail =
    `the version ${lcut} is more than 24 h ahead of this machine's clock (${new Date(now).toISOString()}): ` +
    "upstream's or this machine's clock is wrong, or the version is not in ms since 1970";
  throw new PayloadRefused("in_future", detail);
}
