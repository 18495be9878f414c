import type { DropInRow } from "../support/drop-in/row.ts";
import type { BlobFault } from "../support/upstream/blob-storage.ts";

type Env = Readonly<Record<string, string>>;

/** What the storage holds for one SDK key, and what a client then gets. */
export interface BlobRow extends DropInRow {
  /** A suffix that makes the SDK key unique. */
  readonly id: string;
  readonly api: "v1" | "v2";
  /** The client asks for protobuf. */
  readonly asksForProto?: boolean;
  /** `none`: only upstream has the key. */
  readonly blob: "json" | "gzip" | "proto" | "none";
  readonly fault?: BlobFault;
  readonly answer: "blob" | "upstream" | "unavailable";
  /** The requests for the blob until the first answer: `METHOD container`. */
  readonly requests: readonly string[];
}

const BLOB_ANSWERS = "what the blob storage answers";
const ADDRESS = "address of the blob storage";
const fault = (status: number, code: string): BlobFault => ({ kind: "answer", status, code });

/** First requests for a key. */
export const BLOB_ROWS: readonly BlobRow[] = [
  {
    name: "a v1 request",
    original: "reads {company}/{SDK key} in dcs-v1",
    ours: "same",
    ...{ id: "v1", api: "v1", blob: "json", answer: "blob", requests: ["GET dcs-v1"] },
  },
  {
    name: "a v2 request",
    original: "reads {company}/{SDK key} in dcs-v2",
    ours: "same",
    ...{ id: "v2", api: "v2", blob: "json", answer: "blob", requests: ["GET dcs-v2"] },
  },
  {
    name: "a blob with a content coding",
    original: "takes it as it is coded",
    ours: "same",
    ...{ id: "gzip", api: "v2", blob: "gzip", answer: "blob", requests: ["GET dcs-v2"] },
  },
  {
    name: "a client that asks for protobuf",
    original: "gets what the blob holds",
    ours: "same",
    ...{
      id: "proto-json",
      api: "v2",
      asksForProto: true,
      blob: "json",
      answer: "blob",
      requests: ["GET dcs-v2"],
    },
  },
  {
    name: "a protobuf blob, and a client that asks for protobuf",
    original: "gets the protobuf",
    ours: "same",
    ...{
      id: "proto",
      api: "v2",
      asksForProto: true,
      blob: "proto",
      answer: "blob",
      requests: ["GET dcs-v2"],
    },
  },
  {
    name: "a protobuf blob, and a client that asks for JSON",
    original: "gets the protobuf",
    ours: { does: "gets JSON from upstream", subject: BLOB_ANSWERS },
    ...{ id: "json-proto", api: "v2", blob: "proto", answer: "upstream", requests: ["GET dcs-v2"] },
  },
  {
    name: "a missing blob",
    original: "asks the CDN",
    ours: "same",
    ...{ id: "missing", api: "v2", blob: "none", answer: "upstream", requests: ["GET dcs-v2"] },
  },
  {
    name: "403 from the storage",
    original: "401 for the client",
    ours: { does: "503: the SDK key may be valid", subject: BLOB_ANSWERS },
    ...{ id: "403", api: "v2", blob: "json", fault: fault(403, "AuthenticationFailed") },
    ...{ answer: "unavailable", requests: ["GET dcs-v2"] },
  },
  {
    name: "500 from the storage",
    original: "does not ask the CDN, 401 for the client",
    ours: { does: "does not ask the CDN, 503", subject: "nothing cached and upstream failing" },
    ...{ id: "500", api: "v2", blob: "json", fault: fault(500, "InternalError") },
    ...{ answer: "unavailable", requests: ["GET dcs-v2"] },
  },
];

/** What the storage does once the relay holds version 0, and which version it then serves. */
export interface PollRow extends DropInRow {
  readonly id: string;
  /** The number of the version that the blob has then; none if it is missing. */
  readonly blob?: number;
  readonly hasMetadata: boolean;
  readonly faults?: Readonly<Partial<Record<"HEAD" | "GET", BlobFault>>>;
  /** The version at upstream. */
  readonly upstream?: number;
  readonly serves: number;
  /** What every poll asks the storage for, in order. */
  readonly requests: readonly string[];
}

const poll = (name: string, original: string, row: Omit<PollRow, keyof DropInRow>): PollRow => ({
  name,
  original,
  ours: "same",
  ...row,
});

export const POLL_ROWS: readonly PollRow[] = [
  poll("held, metadata with the same lcut", "asks with HEAD, and does not read the blob", {
    ...{ id: "same", blob: 0, hasMetadata: true, serves: 0, requests: ["HEAD dcs-v2"] },
  }),
  poll("held, metadata with a newer lcut", "asks with HEAD, and reads the blob", {
    ...{ id: "newer", blob: 1, hasMetadata: true, serves: 1, requests: ["HEAD dcs-v2", "GET dcs-v2"] },
  }),
  poll("held, no metadata", "asks with HEAD, and reads the blob", {
    ...{ id: "plain", blob: 1, hasMetadata: false, serves: 1, requests: ["HEAD dcs-v2", "GET dcs-v2"] },
  }),
  poll("held, HEAD fails", "reads the blob", {
    ...{ id: "head", blob: 1, hasMetadata: true, serves: 1, requests: ["HEAD dcs-v2", "GET dcs-v2"] },
    faults: { HEAD: fault(500, "InternalError") },
  }),
  poll("held, 500 from the storage", "serves what it holds, and does not ask the CDN", {
    ...{ id: "held500", blob: 1, hasMetadata: true, upstream: 2, serves: 0 },
    ...{ requests: ["HEAD dcs-v2", "GET dcs-v2"] },
    faults: { HEAD: fault(500, "InternalError"), GET: fault(500, "InternalError") },
  }),
  {
    name: "held, 403 from the storage",
    original: "takes it for an unauthorized SDK key",
    ours: { does: "serves what it holds, as after any failure", subject: BLOB_ANSWERS },
    ...{ id: "held403", blob: 1, hasMetadata: true, upstream: 2, serves: 0 },
    ...{ requests: ["HEAD dcs-v2", "GET dcs-v2"] },
    faults: { HEAD: fault(403, "AuthenticationFailed"), GET: fault(403, "AuthenticationFailed") },
  },
  {
    name: "held, the blob is gone",
    original: "asks with HEAD and GET, and then the CDN",
    ours: { does: "asks with HEAD, and then the CDN", subject: BLOB_ANSWERS },
    ...{ id: "gone", hasMetadata: true, upstream: 2, serves: 2, requests: ["HEAD dcs-v2"] },
  },
];

/** An environment without blob storage: config specs come from upstream. */
export interface UnusedRow extends DropInRow {
  readonly env: Env;
  /** What the log says; nothing about blob storage if undefined. */
  readonly reason?: string;
}

const KEY = "a2V5IG9mIHRoZSBhY2NvdW50";
const ON: Env = {
  ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS: "true",
  DCS_BLOB_STORAGE_CONNECTION_STRING: `DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=${KEY}`,
  DCS_BLOB_STORAGE_COMPANY_ID: "company-1",
};

const unused = (name: string, env: Env, reason?: string): UnusedRow => ({
  name,
  original: "uses the CDN",
  ours: "same",
  env: { ...ON, ...env },
  ...(reason !== undefined && { reason }),
});

export const UNUSED_ROWS: readonly UnusedRow[] = [
  unused("ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS=false", {
    ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS: "false",
  }),
  unused(
    "no connection string",
    { DCS_BLOB_STORAGE_CONNECTION_STRING: "" },
    "DCS_BLOB_STORAGE_CONNECTION_STRING is not set",
  ),
  unused("a blank company", { DCS_BLOB_STORAGE_COMPANY_ID: " " }, "DCS_BLOB_STORAGE_COMPANY_ID is not set"),
  unused(
    "a connection string without an account",
    { DCS_BLOB_STORAGE_CONNECTION_STRING: `AccountKey=${KEY}` },
    "has no valid AccountName",
  ),
  unused(
    "a connection string with a signature instead of the account key",
    { DCS_BLOB_STORAGE_CONNECTION_STRING: "AccountName=acct;SharedAccessSignature=sig" },
    "has no AccountKey in Base64",
  ),
];

/** Rows that need a check of their own. */
export const OTHER_ROWS = {
  refused: {
    name: "ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS=yes",
    original: "does not start",
    ours: "same",
  },
  signature: {
    name: "the URL of a blob",
    original: "has a signature for reading it in the next 5 minutes, and no sinceTime or supports_proto",
    ours: "same",
  },
  version: { name: "x-sfp-version", original: "is sent to the storage", ours: "same" },
  address: {
    name: "BlobEndpoint in the connection string",
    original: "is ignored",
    ours: { does: "is where blobs are", subject: ADDRESS },
  },
  secrets: { name: "the account key and signatures", original: "are not logged", ours: "same" },
} satisfies Readonly<Record<string, DropInRow>>;
