import { Hono } from "hono";
import type { ProxiedLists } from "../id-lists/proxied-lists.ts";
import { readByteRange } from "./byte-range.ts";
import type { ExchangeEnv } from "./exchange.ts";
import { FileResponse } from "./response-content.ts";
import { errorResponse } from "./status-json.ts";

/** The path that SDKs know for files; the fileID follows. */
export const FILE_PATH = "/v1/download_id_list_file/";

const HEADERS = {
  "content-type": "text/plain",
  "accept-ranges": "bytes",
  "cache-control": "private, no-cache",
};

/**
 * The files of ID lists, whole or in part, read while they are sent. No key is asked for: some SDKs
 * send none (WIRE 4). A fileID is looked up among what manifests list; it is never part of a path.
 */
export function fileRoutes(proxied: ProxiedLists): Hono<ExchangeEnv> {
  const app = new Hono<ExchangeEnv>();
  app.get(`${FILE_PATH}*`, ({ req }) => {
    const { pathname, searchParams } = new URL(req.raw.url);
    const fileID = decodedOrNothing(pathname.slice(FILE_PATH.length));
    const found = fileID && proxied.find(fileID, searchParams.get("of") ?? "");
    if (!found) return errorResponse(404);
    return fileResponse(found.path, found.file.bytes, rangeOf(req.raw.headers, searchParams));
  });
  return app;
}

/** core asks by the query where it believes a CDN to be in front. */
function rangeOf(headers: Headers, search: URLSearchParams): string | null {
  const inQuery = search.get("range");
  const asked = headers.get("range") ?? (inQuery === null ? null : `bytes=${inQuery.replace(/^bytes=/, "")}`);
  // There is no validator that it could name: it is of something else (RFC 9110, 13.1.5).
  return headers.has("if-range") ? null : asked;
}

function fileResponse(path: string, size: number, asked: string | null): Response {
  const range = readByteRange(asked, size);
  switch (range.kind) {
    case "whole":
      return bytesResponse(path, 0, size);
    case "part": {
      const { first, end } = range;
      return bytesResponse(path, first, end, { "content-range": `bytes ${first}-${end - 1}/${size}` });
    }
    case "unsatisfiable":
      return errorResponse(416, { "content-range": `bytes */${size}`, "accept-ranges": "bytes" });
  }
}

function bytesResponse(path: string, first: number, end: number, partial?: Record<string, string>): Response {
  // Said here for HEAD, whose body hono leaves away with all that it says of its length.
  const headers = { ...HEADERS, ...partial, "content-length": String(end - first) };
  return new FileResponse({ path, first, end }, { status: partial ? 206 : 200, headers });
}

function decodedOrNothing(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
