import { createHash } from "node:crypto";
import type { SQLOutputValue } from "node:sqlite";
import type { SpecFormat } from "../specs/feed.ts";
import type { KeptVersion } from "./local-calls.ts";

/** What a row came to. */
export interface KeptRow {
  /** What the row says, damaged or not. */
  readonly lcut: number;
  /** Undefined where the row is damaged. */
  readonly version: KeptVersion | undefined;
}

/** Checks a row against its seal. */
export function rowOf(feedDigest: string, row: Record<string, SQLOutputValue>): KeptRow {
  const lcut = Number(row["lcut"]);
  const { body, seal } = row;
  const version: KeptVersion = {
    feedDigest,
    keyDigest: String(row["sdk_key"]),
    lcut,
    format: row["format"] as SpecFormat,
    contentEncoding: String(row["content_encoding"]),
    body: body instanceof Uint8Array ? owned(body) : new Uint8Array(),
  };
  const sound = seal instanceof Uint8Array && sealOf(version).equals(seal);
  return { lcut, version: sound ? version : undefined };
}

/** A digest of all that makes the version what it is. */
export function sealOf({ feedDigest, keyDigest, lcut, format, contentEncoding, body }: KeptVersion): Buffer {
  const head = JSON.stringify([feedDigest, keyDigest, lcut, format, contentEncoding]);
  return createHash("sha256").update(head).update(body).digest();
}

/** What is handed to the other thread must own all of its memory. */
function owned(body: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = body;
  return buffer instanceof ArrayBuffer && buffer.byteLength === body.byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(body);
}
