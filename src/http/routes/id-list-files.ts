import { access, constants } from "node:fs/promises";
import { Hono } from "hono";
import { parseSdkKey } from "../../access/sdk-key.ts";
import { MISSING_FILE_ID } from "../../id-lists/manifest.ts";
import { FILE_PATH, type FileRequest } from "../../id-lists/on-demand.ts";
import type { IdListService, IdListSettings, ServedFile } from "../../id-lists/service.ts";
import type { RequestEnv } from "../request-context.ts";
import { collapseSlashes } from "../request-path.ts";
import { type FileRange, FileResponse } from "../response-content.ts";
import {
  errorResponse,
  malformedKeyResponse,
  throttledResponse,
  unauthorizedResponse,
  unavailableResponse,
} from "../responses.ts";

const FILE_HEADERS = {
  "content-type": "text/plain",
  "accept-ranges": "bytes",
  "cache-control": "private, no-cache",
};

/** The next poll of ID lists, at most a minute away, fetches the file again. */
const UNREADABLE_RETRY_MS = 60_000;

/** Serves the files of ID lists, if the relay does. */
export function fileRoutes(service: IdListService, { files }: IdListSettings): readonly Hono<RequestEnv>[] {
  switch (files) {
    case "proxied":
      return [proxiedRoutes(service)];
    case "on_demand":
      return [onDemandRoutes(service)];
    case "elsewhere":
      return [];
  }
}

/**
 * Serves the files of ID lists, whole or in part, read while they are sent. No SDK key is required, since some SDKs send none
 * (docs/protocol.md, ID lists). A fileID is looked up among the files of manifests; it never becomes part of a path.
 */
function proxiedRoutes(service: IdListService): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.get(`${FILE_PATH}*`, async ({ req }) => {
    const { pathname, searchParams } = new URL(req.raw.url);
    const fileID = decodeOrUndefined(collapseSlashes(pathname).slice(FILE_PATH.length));
    if (fileID === MISSING_FILE_ID) return emptyFile();
    const digest = searchParams.get("of") ?? "";
    const file = fileID ? await service.file({ fileID, digest }) : undefined;
    if (file === undefined) return errorResponse(404);
    return sendFile(file, readRange(req.raw.headers, searchParams), service);
  });
  return app;
}

/**
 * Serves files that are fetched when a client asks for them, by the rules of the original proxy: the SDK key is required, and a
 * range is `bytes=N-` (docs/id-lists.md, Files on demand).
 */
function onDemandRoutes(service: IdListService): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.get(`${FILE_PATH}*`, async ({ req }) => {
    const request = readFileRequest(req.raw);
    if (request instanceof Response) return request;
    const found = await service.fileOnDemand(request);
    switch (found.kind) {
      case "found": {
        const { rangeStart } = request;
        const range = rangeStart === undefined ? null : `bytes=${rangeStart}-`;
        return sendFile(found.file, range, service);
      }
      case "unauthorized":
        return unauthorizedResponse();
      case "unavailable":
        return unavailableResponse(
          found.retryAfterMs,
          "The file of the ID list could not be fetched: retry later",
        );
      case "throttled":
        return throttledResponse(found.retryAfterMs);
    }
  });
  return app;
}

/** Returns the response if this is not a request for a file. */
function readFileRequest({ url, headers }: Request): FileRequest | Response {
  const { pathname, search, searchParams } = new URL(url);
  const refused = (message: string) => errorResponse(400, { message });
  const [inHeader, inQuery] = [headers.get("statsig-api-key") ?? "", searchParams.get("k") ?? ""];
  if (inHeader !== "" && inQuery !== "" && inHeader !== inQuery) {
    return refused("The SDK key in the query does not match the header statsig-api-key");
  }
  const sdkKey = parseSdkKey(inHeader || inQuery);
  if (sdkKey === undefined) return malformedKeyResponse(inHeader || inQuery);
  const encodedId = collapseSlashes(pathname).slice(FILE_PATH.length).split("/")[0];
  if (!encodedId) return refused("The ID of the file is missing after /v1/download_id_list_file/");
  const rangeStart = readNumber(/^bytes=(\d+)-$/, readRange(headers, searchParams));
  if (Number.isNaN(rangeStart)) return refused("Range must be absent or bytes=<start>-");
  const knownSize = readNumber(/^(\d+)$/, headers.get("statsig-id-list-file-size"));
  if (Number.isNaN(knownSize)) return refused("statsig-id-list-file-size must be a whole number");
  return { sdkKey, encodedId, query: search.slice(1), rangeStart, knownSize };
}

/** Returns undefined if there is no text, and NaN if it is not the number of the pattern. */
function readNumber(pattern: RegExp, text: string | null): number | undefined {
  if (text === null) return undefined;
  const [, digits] = pattern.exec(text.trim()) ?? [];
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : Number.NaN;
}

async function sendFile(file: ServedFile, range: string | null, service: IdListService): Promise<Response> {
  const { path, bytes: size, digest } = file;
  const onFailure = (error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    // The client's response does not depend on it.
    service.reportUnreadable({ digest, code, detail: String(error) }).catch(() => {});
  };
  // Checked before the headers are sent. A later failure cuts the connection.
  if (!(await isReadable(path, onFailure))) {
    return unavailableResponse(UNREADABLE_RETRY_MS, "The file of the ID list cannot be read: retry later");
  }
  return fileResponse({ path, size, onFailure }, range);
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

/** The core SDK uses the query parameter if it expects a CDN in front. */
function readRange(headers: Headers, search: URLSearchParams): string | null {
  const inQuery = search.get("range");
  const asked = headers.get("range") ?? (inQuery === null ? null : `bytes=${inQuery.replace(/^bytes=/, "")}`);
  // If-Range can only name a validator of something else, since files have none (RFC 9110, 13.1.5).
  return headers.has("if-range") ? null : asked;
}

interface SizedFile extends Pick<FileRange, "path" | "onFailure"> {
  readonly size: number;
}

function fileResponse(file: SizedFile, asked: string | null): Response {
  const { size } = file;
  // An empty list: SDKs treat a 416 as a failure.
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
      return errorResponse(416, {
        headers: { "content-range": `bytes */${size}`, "accept-ranges": "bytes" },
      });
  }
}

function bytesResponse(
  { path, onFailure }: SizedFile,
  first: number,
  end: number,
  partial?: Record<string, string>,
): Response {
  // Set here for HEAD: Hono removes the body of its response, and with it the length.
  const headers = { ...FILE_HEADERS, ...partial, "content-length": String(end - first) };
  const range = { path, first, end, ...(onFailure && { onFailure }) };
  return new FileResponse(range, { status: partial ? 206 : 200, headers });
}

function emptyFile(): Response {
  return new Response(null, { headers: { ...FILE_HEADERS, "content-length": "0" } });
}

function decodeOrUndefined(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

type ByteRange =
  | { readonly kind: "whole" }
  /** From `first` up to and excluding `end`. */
  | { readonly kind: "part"; readonly first: number; readonly end: number }
  | { readonly kind: "unsatisfiable" };

const WHOLE: ByteRange = { kind: "whole" };

/** Parses a Range header (RFC 9110, 14). Another unit, more than one range, or a malformed header selects the whole file. */
function readByteRange(header: string | null, size: number): ByteRange {
  const [, first = "", last = ""] = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header ?? "") ?? [];
  if (first === "" && last === "") return WHOLE;
  if (first === "") return toPart(Math.max(0, size - Number(last)), size, size);
  if (last !== "" && Number(last) < Number(first)) return WHOLE;
  return toPart(Number(first), last === "" ? size : Math.min(size, Number(last) + 1), size);
}

function toPart(first: number, end: number, size: number): ByteRange {
  return first < size && first < end ? { kind: "part", first, end } : { kind: "unsatisfiable" };
}
