import type { SharedBytes } from "../../platform/shared-bytes.ts";
import type { SpecFormat } from "../feed.ts";

/** The body of a 200 response as upstream sent it, not checked yet. */
export interface RawPayload {
  readonly body: Uint8Array<ArrayBuffer>;
  /** Content-Encoding of the response; empty if it has none. */
  readonly contentEncoding: string;
  readonly format: SpecFormat;
  /** `x-since-time` of the response, if it is a number. */
  readonly headerLcut: number | undefined;
  /** djb2 hash of the requested SDK key. */
  readonly sdkKeyHash: string;
  /** If true, the body must contain `hashed_sdk_key_used`: it was read from a place where the names of two SDK keys can collide. */
  readonly mustNameKey?: boolean;
  /** Set if the body is a delta. */
  readonly delta?: RawDelta;
  /**
   * If true, the request named the held version, so that upstream may have left out what that has. As the body is no delta, it is
   * refused if anything is left out.
   */
  readonly mustBeWhole?: boolean;
  /** The lcut that the version gets in place of its own: it is published again, so that clients with a newer one take it. */
  readonly restampTo?: number;
}

/** What is needed to make a version of a delta. */
export interface RawDelta {
  /** The version that the request named, as a statsig-br body. */
  readonly base: SharedBytes;
  /** Identifies the content of the new version; undefined if upstream did not send it. */
  readonly contentDigest: string | undefined;
}

/** Why a payload is refused. */
export type RefusalReason =
  /** The content coding is unknown, or the body does not decode: it is truncated or damaged. */
  | "undecodable"
  /** The body, as sent or decoded, is larger than `--max-payload-in-mb` allows. */
  | "too_large"
  /** The body is not JSON, or not a sequence of protobuf envelopes that ends with DONE. */
  | "malformed"
  /** The payload has no version: neither `x-since-time` nor `time`. */
  | "no_lcut"
  /** The version is too far in the future: it would block every real version until then. */
  | "in_future"
  /** `hashed_sdk_key_used` belongs to another SDK key. */
  | "other_key"
  /** The version is older than the held one. */
  | "older"
  /** A delta is malformed, does not lead to what upstream has, or does not prove that it does. Or the body is one by mistake. */
  | "delta";

/** What the relay reads from a payload. */
export interface PayloadFacts {
  readonly hasUpdates: boolean;
  readonly lcut: number | undefined;
  /** Empty if the payload has none. */
  readonly checksum: string;
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

/** Returns the reason for refusing a payload that is larger than `maxBytes`, as sent or decoded. */
export function describeTooLarge(maxBytes: number): string {
  return `the payload is larger than the ${maxBytes / MEBIBYTE} MiB that --max-payload-in-mb allows`;
}

/** More than the clocks of two machines differ. */
const MAX_AHEAD_MS = 24 * 3_600_000;

/** Returns whether a version is too far in the future to be real, and so is ignored. `now` is ms since the Unix epoch. */
export function isInFuture(lcut: number, now: number): boolean {
  return lcut > latestLcut(now);
}

/** Returns the largest lcut that can be real. */
export function latestLcut(now: number): number {
  return now + MAX_AHEAD_MS;
}

/** Returns the value as an lcut, or undefined if it is not a valid one. */
export function parseLcut(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** No known checksum is longer: they are numbers of 64 bits, as text, or base64 of 128 bits. */
const MAX_CHECKSUM_LENGTH = 100;

/** Returns the checksum, or an empty text, as if there were none, if it is too long to be one. */
export function limitChecksum(checksum: string): string {
  return checksum.length <= MAX_CHECKSUM_LENGTH ? checksum : "";
}
