import type { DropInRow } from "../support/drop-in/row.ts";

/** A first request for something that is not cached, while something between the relay and upstream hangs. */
export interface FirstSightRow extends DropInRow {
  /** What hangs, and how. */
  readonly hangs: "response" | "body" | "drip" | "connection" | "tls" | "proxy" | "redis";
  readonly asks: "http" | "grpc" | "id-lists";
}

const UNAVAILABLE = {
  original: "401 Unauthorized after 10 s",
  ours: { does: "503 with Retry-After within 10 s", subject: "nothing cached and upstream failing" },
} as const;

const GRPC_UNAVAILABLE = {
  original: "PERMISSION_DENIED after 10 s",
  ours: { does: "UNAVAILABLE within 10 s", subject: "nothing cached and upstream failing" },
} as const;

export const FIRST_SIGHT_ROWS: readonly FirstSightRow[] = [
  { name: "upstream never answers", hangs: "response", asks: "http", ...UNAVAILABLE },
  { name: "upstream never answers, gRPC", hangs: "response", asks: "grpc", ...GRPC_UNAVAILABLE },
  { name: "upstream never answers, ID lists", hangs: "response", asks: "id-lists", ...UNAVAILABLE },
  { name: "headers without a body", hangs: "body", asks: "http", ...UNAVAILABLE },
  { name: "headers without a body, gRPC", hangs: "body", asks: "grpc", ...GRPC_UNAVAILABLE },
  { name: "a drip of bytes", hangs: "drip", asks: "http", ...UNAVAILABLE },
  { name: "a drip of bytes, gRPC", hangs: "drip", asks: "grpc", ...GRPC_UNAVAILABLE },
  { name: "a connection that stays silent", hangs: "connection", asks: "http", ...UNAVAILABLE },
  { name: "a TLS handshake that hangs", hangs: "tls", asks: "http", ...UNAVAILABLE },
  { name: "a TLS handshake that hangs, ID lists", hangs: "tls", asks: "id-lists", ...UNAVAILABLE },
  { name: "an HTTP proxy that hangs", hangs: "proxy", asks: "http", ...UNAVAILABLE },
  { name: "an HTTP proxy that hangs, gRPC", hangs: "proxy", asks: "grpc", ...GRPC_UNAVAILABLE },
  { name: "Redis hangs as well", hangs: "redis", asks: "http", ...UNAVAILABLE },
  { name: "Redis hangs as well, gRPC", hangs: "redis", asks: "grpc", ...GRPC_UNAVAILABLE },
  { name: "Redis hangs as well, ID lists", hangs: "redis", asks: "id-lists", ...UNAVAILABLE },
];
