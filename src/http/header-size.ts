import http from "node:http";

/** Bounds the headers of requests over HTTP/1.1, for every listener of the process: Bun has one setting for all. */
export function limitHeaderSize(maxBytes: number): void {
  // Node's types say that it can't be set, since Node takes it from its command line.
  Object.assign(http, { maxHeaderSize: maxBytes });
}
