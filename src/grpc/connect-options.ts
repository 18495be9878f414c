import type { ConnectRouterOptions } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";

/** Requests hold an SDK key and a number. */
export const MAX_REQUEST_BYTES = 64 * 1024;

/**
 * For every port. Answers are never compressed for a single client, since that takes seconds of CPU for a
 * large config spec; compressed requests are still read.
 */
export const CONNECT_OPTIONS = {
  readMaxBytes: MAX_REQUEST_BYTES,
  acceptCompression: [compressionGzip, compressionBrotli],
  compressMinBytes: 0xffffffff,
} as const satisfies ConnectRouterOptions;
