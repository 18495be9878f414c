import type { SpecFormat } from "../feed.ts";

/** A 200 body as upstream sent it, not looked into yet. */
export interface RawPayload {
  readonly body: Uint8Array<ArrayBuffer>;
  /** The Content-Encoding it came with; empty for none. */
  readonly contentEncoding: string;
  readonly format: SpecFormat;
  /** The `x-since-time` it came with, where that is a number. */
  readonly headerLcut: number | undefined;
  /** djb2 of the SDK key it was asked for. */
  readonly sdkKeyHash: string;
  /** Take it only where its `hashed_sdk_key_used` is there: it came from where keys can collide. */
  readonly mustNameKey?: boolean;
}

/** Why a payload is not taken. */
export type RefusalReason =
  /** The content coding is unknown, or the body does not decode: cut short or damaged. */
  | "undecodable"
  /** More bytes than `--max-payload-in-mb` allows, as sent or decoded. */
  | "too_large"
  /** Not JSON, or no protobuf envelope sequence that ends in DONE. */
  | "malformed"
  /** No version: neither `x-since-time` nor a `time`. */
  | "no_lcut"
  /** Its version is too far in the future: it would keep every real one out until then. */
  | "in_future"
  /** `hashed_sdk_key_used` names another key. */
  | "other_key"
  /** Older than what is held. */
  | "older";

/** What a payload says about itself. */
export interface PayloadFacts {
  readonly hasUpdates: boolean;
  readonly lcut: number | undefined;
  readonly hashedSdkKey: string | undefined;
}

export class PayloadRefused extends Error {
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, detail: string) {
    super(detail);
    this.name = "PayloadRefused";
    this.reason = reason;
  }
}

const MEBIBYTE = 1024 * 1024;

/** Of a payload that is longer than `maxBytes`, as sent or decoded. */
export function describeTooLarge(maxBytes: number): string {
  return `it is larger than the ${maxBytes / MEBIBYTE} MiB that --max-payload-in-mb allows`;
}

/** Clocks differ, but not by so much. */
const MAX_AHEAD_MS = 24 * 3_600_000;

/**
 * Whether a version is so far in the future that it can't be a real one, whoever says it: it counts as none. `now` as of
 * `Clock.now`.
 */
export function isInFuture(lcut: number, now: number): boolean {
  return lcut > latestLcut(now);
}

/** The largest version number that can be a real one. */
export function latestLcut(now: number): number {
  return now + MAX_AHEAD_MS;
}

/** A version number, or undefined where the value is none. */
export function parseLcut(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
