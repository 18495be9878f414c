import type { DropInRow } from "../support/drop-in/row.ts";

/** What a row's SDK gets its config specs from. */
export type SdkSource =
  /** The 3.x entries of Redis, JSON. */
  | "v3-entry"
  /** The 4.x entries of Redis, JSON. */
  | "v4-entry"
  /** A 4.x protobuf entry of Redis, beside an older JSON entry. */
  | "proto-entry"
  /** An old 4.x protobuf entry of Redis that no proxy updates, beside newer JSON. */
  | "abandoned-proto-entry"
  | "http"
  | "http-with-trailing-slash"
  | "grpc-stream";

export interface SdkRow extends DropInRow {
  readonly sdk: "statsig-node" | "statsig-node-core";
  readonly source: SdkSource;
}

/** Real SDKs in passive mode on the entries that the original wrote, and in active mode. */
export const SDK_ROWS: readonly SdkRow[] = [
  {
    name: "statsig-node reads Redis, 3.x keys",
    original: "writes the hash that the adapter reads under the v1 path and the SHA-256 of the SDK key",
    ours: "same",
    sdk: "statsig-node",
    source: "v3-entry",
  },
  {
    name: "statsig-node-core reads Redis, 3.x keys",
    original: "writes the hash that the data store reads under the v2 path and the SHA-256 of the SDK key",
    ours: "same",
    sdk: "statsig-node-core",
    source: "v3-entry",
  },
  {
    name: "statsig-node-core reads Redis, 4.x keys",
    original: "writes the hash that `dataStoreKeySchemaVersion: v3` reads under 20 characters of the SDK key",
    ours: "same",
    sdk: "statsig-node-core",
    source: "v4-entry",
  },
  {
    name: "statsig-node-core reads Redis, protobuf newer than JSON",
    original: "writes protobuf beside JSON, and the SDK reads the protobuf entry",
    ours: "same",
    sdk: "statsig-node-core",
    source: "proto-entry",
  },
  {
    name: "statsig-node-core reads Redis, protobuf that is no longer updated",
    original: "leaves the entry until it expires, and the SDK evaluates it although the JSON entry is newer",
    ours: {
      does: "the data store of the examples compares the versions of both entries",
      subject: "protobuf entry that is older than the JSON entry",
    },
    sdk: "statsig-node-core",
    source: "abandoned-proto-entry",
  },
  {
    name: "statsig-node over HTTP",
    original: "answers `GET /v1/download_config_specs/{key}.json`",
    ours: "same",
    sdk: "statsig-node",
    source: "http",
  },
  {
    name: "statsig-node-core over HTTP",
    original: "answers `GET /v2/download_config_specs/{key}.json`",
    ours: "same",
    sdk: "statsig-node-core",
    source: "http",
  },
  {
    name: "statsig-node-core over HTTP, specsUrl that ends in a slash",
    original: "answers `GET /v2/download_config_specs//{key}.json`",
    ours: "same",
    sdk: "statsig-node-core",
    source: "http-with-trailing-slash",
  },
  {
    name: "statsig-node-core over gRPC",
    original: "streams version 2 with `StreamConfigSpec`",
    ours: "same",
    sdk: "statsig-node-core",
    source: "grpc-stream",
  },
];
