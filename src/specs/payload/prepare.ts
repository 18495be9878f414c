import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { collectGarbage } from "../../platform/garbage-limit.ts";
import type { ContentCoding, PreparedPayload } from "../snapshot.ts";
import { type Decodable, encode, inspectCoded } from "./encoding.ts";
import { readJsonFacts } from "./json.ts";
import {
  isInFuture,
  type PayloadFacts,
  PayloadRefused,
  type RawPayload,
  type RefusalReason,
} from "./payload.ts";
import { readProtoFacts } from "./proto.ts";

export type Preparation =
  | { readonly kind: "prepared"; readonly payload: PreparedPayload }
  | { readonly kind: "no_update" }
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly detail: string };

/** What is larger, decoded, is worked on alone. */
const LARGE_BYTES = 1024 * 1024;

/** What is larger is kept in fewer codings: each takes a fifth of its memory, and a coder two thirds of it at work. */
const VERY_LARGE_BYTES = 8 * 1024 * 1024;

const ALL_CODINGS = ["gzip", "br", "zstd"] as const;

/** Ends when no large payload is being worked on. */
let largeTurn: Promise<unknown> = Promise.resolve();

export interface PreparationRequest {
  readonly raw: RawPayload;
  /** Of the payload, as sent and decoded. */
  readonly maxBytes: number;
}

/** Checks a payload and makes every coding of it. Takes up to seconds of CPU: runs in a Worker. */
export async function prepare({ raw, maxBytes }: PreparationRequest): Promise<Preparation> {
  try {
    if (raw.format === "proto") requireStatsigBr(raw);
    const body = await inspectCoded(raw.body, raw.contentEncoding, maxBytes);
    const work = () => (raw.format === "proto" ? prepareProto(raw, body) : prepareJson(raw, body));
    return await (body.decodedBytes > LARGE_BYTES ? inTurn(work) : work());
  } catch (error) {
    if (error instanceof PayloadRefused)
      return { kind: "refused", reason: error.reason, detail: error.message };
    throw error;
  }
}

/**
 * One after the other, so that many large payloads at once need the memory of one. What one left behind is freed before
 * the next: buffers are only collected when the small heap that refers to them is.
 */
function inTurn(work: () => Promise<Preparation>): Promise<Preparation> {
  const result = largeTurn.then(work);
  largeTurn = result.catch(() => {}).then(cleanUp);
  return result;
}

/** When the result is on its way: until then it is in use. */
async function cleanUp(): Promise<void> {
  await setImmediate();
  collectGarbage();
}

async function prepareJson(raw: RawPayload, body: Decodable): Promise<Preparation> {
  const bytes = await body.decode();
  const facts = readJsonFacts(bytes);
  if (!facts.hasUpdates) return { kind: "no_update" };
  const lcut = checkedLcut(raw, facts);
  return {
    kind: "prepared",
    payload: { lcut, format: "json", bytes, compressed: await codings(raw, bytes), digest: digestOf(bytes) },
  };
}

/**
 * Upstream has likely compressed better than we would, and it has done it already. One coding after the other, since
 * each coder needs memory of its own; of what is very large only gzip, which every client takes.
 */
async function codings(raw: RawPayload, bytes: Uint8Array<ArrayBuffer>) {
  const wanted = bytes.length > VERY_LARGE_BYTES ? (["gzip"] as const) : (["gzip", "br", "zstd"] as const);
  const compressed: Partial<Record<ContentCoding, Uint8Array<ArrayBuffer>>> = {};
  for (const coding of ALL_CODINGS) if (raw.contentEncoding === coding) compressed[coding] = raw.body;
  for (const coding of wanted) {
    if (compressed[coding] !== undefined) continue;
    if (bytes.length > LARGE_BYTES) collectGarbage();
    compressed[coding] = await encode(bytes, coding);
  }
  return compressed;
}

function requireStatsigBr({ contentEncoding }: RawPayload): void {
  if (contentEncoding === "statsig-br") return;
  const detail = "a protobuf body did not come as statsig-br, which SDKs insist on";
  throw new PayloadRefused("undecodable", detail);
}

async function prepareProto(raw: RawPayload, body: Decodable): Promise<Preparation> {
  const facts = readProtoFacts(await body.decode());
  if (!facts.hasUpdates) return { kind: "no_update" };
  const lcut = checkedLcut(raw, facts);
  return {
    kind: "prepared",
    payload: { lcut, format: "proto", bytes: raw.body, compressed: {}, digest: digestOf(raw.body) },
  };
}

function checkedLcut(raw: RawPayload, facts: PayloadFacts): number {
  const hash = facts.hashedSdkKey;
  if (hash === undefined ? raw.mustNameKey === true : hash !== raw.sdkKeyHash) {
    throw new PayloadRefused("other_key", "the body's hashed_sdk_key_used is not that of this SDK key");
  }
  const lcut = raw.headerLcut ?? facts.lcut;
  if (lcut === undefined) {
    throw new PayloadRefused("no_lcut", "neither x-since-time nor the body's time gives a version");
  }
  // SDKs go by the body's time, whatever the header says.
  requireNotInFuture(Math.max(lcut, facts.lcut ?? 0));
  return lcut;
}

function requireNotInFuture(lcut: number): void {
  const now = Date.now();
  if (!isInFuture(lcut, now)) return;
  const detail =
    `the version ${lcut} is more than 24 h after ${new Date(now).toISOString()}, which it is here: ` +
    "upstream's or this machine's clock is wrong, or its time is not in ms since 1970";
  throw new PayloadRefused("in_future", detail);
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64url").slice(0, 16);
}
