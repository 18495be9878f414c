import type { StreamConnectionOptions } from "../../tests/support/clients/stream-connection.ts";

/** Flow-control windows of clients, by their names in tables. */
export const WINDOWS = {
  /** Those that HTTP/2 begins with, which node:http2 and grpc-js leave as they are. */
  "HTTP/2": { streamWindow: 65_535, connectionWindow: 65_535 },
  /** Those of hyper, on which the Rust-cored SDKs are built. */
  "core SDK": { streamWindow: 2 * 1024 * 1024, connectionWindow: 5 * 1024 * 1024 },
} as const satisfies Record<string, StreamConnectionOptions>;

export type WindowsName = keyof typeof WINDOWS;
