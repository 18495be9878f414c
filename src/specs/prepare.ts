import { createHash } from "node:crypto";
import { decode, encode } from "./content-coding.ts";
import { readJsonFacts } from "./json-facts.ts";
import { type PayloadFacts, PayloadRefused, type RawPayload, type RefusalReason } from "./payload.ts";
import { readProtoFacts } from "./proto-facts.ts";
import type { PreparedPayload } from "./snapshot.ts";

/** Clocks differ, but not by so much. */
const MAX_AHEAD_MS = 24 * 3_600_000;

export type Preparation =
  | { readonly kind: "prepared"; readonly payload: PreparedPayload }
  | { readonly kind: "no_update" }
  | { readonly kind: "refused"; readonly reason: RefusalReason; readonly detail: string };

/** Checks a payload and makes every coding of it. Takes up to a second of CPU: runs in a Worker. */
export async function prepare(raw: RawPayload): Promise<Preparation> {
  try {
    return await (raw.format === "proto" ? prepareProto(raw) : prepareJson(raw));
  } catch (error) {
    if (error instanceof PayloadRefused)
      return { kind: "refused", reason: error.reason, detail: error.message };
    throw error;
  }
}

async function prepareJson(raw: RawPayload): Promise<Preparation> {
  const bytes = await decode(raw.body, raw.contentEncoding);
  const facts = readJsonFacts(bytes);
  if (!facts.hasUpdates) return { kind: "no_update" };
  const lcut = checkedLcut(raw, facts);
  const [gzip, br, zstd] = await Promise.all([
    coded(raw, bytes, "gzip"),
    coded(raw, bytes, "br"),
    coded(raw, bytes, "zstd"),
  ]);
  return {
    kind: "prepared",
    payload: { lcut, format: "json", bytes, compressed: { gzip, br, zstd }, digest: digestOf(bytes) },
  };
}

/** Upstream has likely compressed better than we would, and it has done it already. */
async function coded(raw: RawPayload, bytes: Uint8Array<ArrayBuffer>, coding: "gzip" | "br" | "zstd") {
  return raw.contentEncoding === coding ? raw.body : encode(bytes, coding);
}

async function prepareProto(raw: RawPayload): Promise<Preparation> {
  if (raw.contentEncoding !== "statsig-br") {
    throw new PayloadRefused(
      "undecodable",
      "a protobuf body did not come as statsig-br, which SDKs insist on",
    );
  }
  const facts = readProtoFacts(await decode(raw.body, raw.contentEncoding));
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
  // It would keep every real version out for ever: nothing newer can come.
  if (lcut > (facts.lcut ?? 0) && lcut > Date.now() + MAX_AHEAD_MS) {
    throw new PayloadRefused("no_lcut", `the version ${lcut} is in the future, and not the body's own time`);
  }
  return lcut;
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64url").slice(0, 16);
}
