import { access, constants } from "node:fs/promises";
import { Hono } from "hono";
import { MISSING_FILE_ID } from "../id-lists/manifest.ts";
import type { ProxiedLists } from "../id-lists/proxied-lists.ts";
import { readByteRange } from "./byte-range.ts";
import type { ExchangeEnv } from "./exchange.ts";
import { type FileRange, FileResponse } from "./response-content.ts";
import { errorResponse, unavailableResponse } from "./status-json.ts";

/** The path that SDKs know for files; the fileID follows. */
export const FILE_PATH = "/v1/download_id_list_file/";

const HEADERS = {
  "content-type": "text/plain",
  "accept-ranges": "bytes",
  "cache-control": "private, no-cache",
};

/** The file is fetched again by the next poll of ID lists, which is at most a minute away. */
const UNREADABLE_RETRY_MS = 60_000;

/**
 * The files of ID lists, whole or in part, read while they are sent. No key is asked for: some SDKs
 * send none (WIRE 4). A fileID is looked up among what manifests list; it is never part of a path.
 */
export function fileRoutes(proxied: ProxiedLists): Hono<ExchangeEnv> {
  const app = new Hono<ExchangeEnv>();
  app.get(`${FILE_PATH}*`, async ({ req }) => {
    const { pathname, searchParams } = new URL(req.raw.url);
    const fileID = decodedOrNothing(pathname.slice(FILE_PATH.length));
    if (fileID === MISSING_FILE_ID) return emptyFile();
    const found = fileID && proxied.find(fileID, searchParams.get("of") ?? "");
    if (!found) return errorResponse(404);
    const { file, path } = found;
    const onFailure = (error: unknown) => proxied.unreadable(file, error);
    // Asked for before the headers are sent. What goes wrong later cuts the connection.
    if (!(await isReadable(path, onFailure))) return unavailableResponse(UNREADABLE_RETRY_MS);
    return fileResponse({ path, size: file.bytes, onFailure }, rangeOf(req.raw.headers, searchParams));
  });
  return app;
}

async function isReadable(path: string, onFailure: (error: unknown) => void): Promise<boolean> {
  try {
    await access(path, constants.R_OK);
    return true;
  } catch (error) {
    onFailure(error);
    return false;
  }
}

/** core asks by the query where it believes a CDN to be in front. */
function rangeOf(headers: Headers, search: URLSearchParams): string | null {
  const inQuery = search.get("range");
  const asked = headers.get("range") ?? (inQuery === null ? null : `bytes=${inQuery.replace(/^bytes=/, "")}`);
  // There is no validator that it could name: it is of something else (RFC 9110, 13.1.5).
  return headers.has("if-range") ? null : asked;
}

interface SizedFile extends Pick<FileRange, "path" | "onFailure"> {
  readonly size: number;
}

function fileResponse(file: SizedFile, asked: string | null): Response {
  const { size } = file;
  // A list without any ID: to SDKs a 416 is a failure.
  if (size === 0) return emptyFile();
  const range = readByteRange(asked, size);
  switch (range.kind) {
    case "whole":
      return bytesResponse(file, 0, size);
    case "part": {
      const { first, end } = range;
      return bytesResponse(file, first, end, { "content-range": `bytes ${first}-${end - 1}/${size}` });
    }
    case "unsatisfiable":
      return errorResponse(416, { "content-range": `bytes */${size}`, "accept-ranges": "bytes" });
  }
}

function bytesResponse(
  { path, onFailure }: SizedFile,
  first: number,
  end: number,
  partial?: Record<string, string>,
): Response {
  // Said here for HEAD, whose body hono leaves away with all that it says of its length.
  const headers = { ...HEADERS, ...partial, "content-length": String(end - first) };
  const range = { path, first, end, ...(onFailure && { onFailure }) };
  return new FileResponse(range, { status: partial ? 206 : 200, headers });
}

function emptyFile(): Response {
  return new Response(null, { headers: { ...HEADERS, "content-length": "0" } });
}

function decodedOrNothing(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
