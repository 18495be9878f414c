import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  deflateSync,
  gunzipSync,
  gzipSync,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import type { RawPayload, RefusalReason } from "../../../src/specs/payload/payload.ts";
import { type Preparation, prepare } from "../../../src/specs/payload/prepare.ts";
import type { PreparedPayload } from "../../../src/specs/snapshot.ts";
import { djb2, MAX_PAYLOAD_BYTES } from "./payloads.ts";

export const SDK_KEY = "secret-prepared";

type Bytes = Uint8Array<ArrayBuffer>;

const checksummed = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };

export const compress = {
  identity: (bytes: Bytes): Bytes => bytes,
  gzip: (bytes: Bytes): Bytes => new Uint8Array(gzipSync(bytes)),
  deflate: (bytes: Bytes): Bytes => new Uint8Array(deflateSync(bytes)),
  br: (bytes: Bytes): Bytes => new Uint8Array(brotliCompressSync(bytes)),
  zstd: (bytes: Bytes): Bytes => new Uint8Array(zstdCompressSync(bytes, checksummed)),
} as const;

export const decompress = {
  gzip: (bytes: Uint8Array): Bytes => new Uint8Array(gunzipSync(bytes)),
  br: (bytes: Uint8Array): Bytes => new Uint8Array(brotliDecompressSync(bytes)),
  zstd: (bytes: Uint8Array): Bytes => new Uint8Array(zstdDecompressSync(bytes)),
} as const;

export const jsonBytes = (value: unknown): Bytes => new TextEncoder().encode(JSON.stringify(value));

/** A 200 body for {@link SDK_KEY}, JSON by default. */
export const raw = (
  body: Uint8Array,
  contentEncoding: string,
  more: Partial<RawPayload> = {},
): RawPayload => ({
  body: new Uint8Array(body),
  contentEncoding,
  format: "json",
  headerLcut: undefined,
  sdkKeyHash: djb2(SDK_KEY),
  ...more,
});

/** A correct protobuf body: `envelopes`, compressed by brotli. */
export const rawProto = (envelopes: Uint8Array, more: Partial<RawPayload> = {}): RawPayload =>
  raw(brotliCompressSync(envelopes), "statsig-br", { format: "proto", ...more });

/** Returns the payload, or throws an error with the actual outcome. */
export async function prepared(payload: RawPayload, maxBytes = MAX_PAYLOAD_BYTES): Promise<PreparedPayload> {
  const preparation = await prepare({ raw: payload, maxBytes });
  if (preparation.kind === "prepared") return preparation.payload;
  throw new Error(`not prepared: ${JSON.stringify(preparation)}`);
}

/** Returns the reason of the refusal, or the kind of another outcome. */
export async function refusal(
  payload: RawPayload,
  maxBytes = MAX_PAYLOAD_BYTES,
): Promise<RefusalReason | Preparation["kind"]> {
  const preparation = await prepare({ raw: payload, maxBytes });
  return preparation.kind === "refused" ? preparation.reason : preparation.kind;
}
