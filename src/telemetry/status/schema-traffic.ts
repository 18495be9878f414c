import type { Timestamp } from "./timestamp.ts";

/** What clients ask for, and what that takes. */
export interface TrafficStatus {
  /** Requests over HTTP, including RPCs over HTTP. */
  readonly requests_per_s: number;
  /** Requests with a response status of 400 or higher. */
  readonly failed_per_s: number;
  /** Unary RPCs on all ports. */
  readonly rpcs_per_s: number;
  /** Requests in flight that cannot be served from memory at once. */
  readonly in_flight: number;
  /** Open streams over all protocols. */
  readonly streams: number;
  /** `--grpc-max-concurrent-streams`. */
  readonly max_streams: number;
  /** SDK keys with cached config specs. */
  readonly sdk_keys: number;
  /** `--maximum-concurrent-sdk-keys`. */
  readonly max_sdk_keys: number;
  /** Open connections by protocol. */
  readonly connections: Readonly<Record<string, number>>;
  readonly deltas: DeltaStatus;
  readonly config_specs: TransferStatus;
}

/** Updates of clients that accept deltas, since the start. */
export interface DeltaStatus {
  /** `--delta-history`: the number of versions from which there are deltas; 0 if deltas are off. */
  readonly versions: number;
  /** Updates that were sent as deltas. */
  readonly sent: number;
  /** Whole versions that were sent because there was no delta. */
  readonly full: number;
  /** Bytes that were not sent because of deltas. */
  readonly saved_bytes: number;
}

/** Config specs on their way through the relay, in bytes as sent: compressed if they were. */
export interface TransferStatus {
  /** Sent to clients since the start. */
  readonly served_bytes: number;
  /** Sent by upstream since the start. */
  readonly received_bytes: number;
  /** `served_bytes` less `received_bytes`: what upstream did not have to send. Negative before clients have asked for what was fetched. */
  readonly saved_bytes: number;
  /** The same for the last hour. */
  readonly saved_bytes_1_h: number;
}

/** The requests of one version of an SDK. Above 200 requests of a thread in half a second the counts are estimates from a sample. */
export interface SdkStatus {
  /** The header `statsig-sdk-type`, else the product in the User-Agent; `other` for malformed names, and beyond 50 SDKs. */
  readonly type: string;
  /** The header `statsig-sdk-version`, or the version in the User-Agent; null if neither is well-formed. */
  readonly version: string | null;
  /** The language that the type names; null if it names none. */
  readonly language: string | null;
  /** `http`, `https` or `grpc`, which includes gRPC over TLS. */
  readonly protocols: readonly ("http" | "https" | "grpc")[];
  /** Since the relay first saw it, without requests that failed. A stream counts once. */
  readonly requests: number;
  /** In the last five minutes. */
  readonly requests_5_min: number;
  /** The last request that succeeded. */
  readonly last_seen_at: Timestamp;
}
