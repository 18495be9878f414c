import { access, constants } from "node:fs/promises";
import { Hono } from "hono";
import { parseSdkKey } from "../../access/sdk-key.ts";
import { type IdListEntry, MISSING_FILE_ID, missingEntry } from "../../id-lists/manifest.ts";
import type { ProxiedLists, ServedList } from "../../id-lists/proxied-lists.ts";
import type { IdListQuery } from "../../id-lists/query.ts";
import type { HeldManifest } from "../../id-lists/store.ts";
import { withTrace } from "../../platform/trace-context.ts";
import { type BodyReader, SMALL_BODY_BYTES } from "../request-body.ts";
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

/** How clients get ID lists. */
export interface IdListService {
  readonly query: IdListQuery;
  /** Set if the relay serves the files itself; otherwise manifests are passed through. */
  readonly proxied: ProxiedLists | undefined;
  /** Scheme, host and port by which clients reach the relay. Undefined uses those of the request. */
  readonly publicUrl: string | undefined;
}

/** The length of the digest in the URL of a file that shares its fileID with another file. */
const DIGEST_CHARS = 16;

const MANIFEST_HEADERS = { "cache-control": "private, no-cache", vary: "statsig-api-key, host" };

/** Serves `/v1/get_id_lists`, by POST as SDKs do, and by GET with the key in the path (docs/protocol.md, ID lists). */
export function manifestRoutes(service: IdListService, bodies: BodyReader): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.on(["GET", "POST"], "/v1/get_id_lists/:key?", ({ req, env }) => {
    const key = req.header("statsig-api-key") || readPathKey(req.param("key"));
    // The body is read and ignored. SDKs send {}, their metadata, or none; an unread body would block the connection.
    return bodies.withBody(req.raw, env, () => handleManifest(key, service, req.raw), SMALL_BODY_BYTES);
  });
  return app;
}

async function handleManifest(
  key: string,
  service: IdListService,
  { url, headers }: Request,
): Promise<Response> {
  const sdkKey = parseSdkKey(key);
  if (sdkKey === undefined) return malformedKeyResponse(key);
  const { origin } = new URL(url);
  const held = service.query.held(sdkKey);
  if (held !== undefined) return manifestResponse(held, service, origin);
  const found = await withTrace(headers, () => service.query.ask(sdkKey));
  switch (found.kind) {
    case "held":
      return manifestResponse(found.held, service, origin);
    case "unauthorized":
      return unauthorizedResponse();
    case "unavailable":
      return unavailableResponse(found.retryAfterMs, NO_LISTS);
    case "throttled":
      return throttledResponse(found.retryAfterMs);
  }
}

const NO_LISTS = "No ID lists of this SDK key are cached, and none could be fetched: retry later";

const readPathKey = (segment = ""): string => segment.replace(/\.json?$|\.js$/, "");

function manifestResponse(held: HeldManifest, service: IdListService, origin: string): Response {
  const { proxied, publicUrl = origin } = service;
  if (proxied !== undefined) {
    const lists = proxied.servedLists(held).map((list) => [list.name, toEntry(list, publicUrl)] as const);
    return Response.json(Object.fromEntries(lists), { headers: MANIFEST_HEADERS });
  }
  return new Response(held.manifest.text, {
    headers: { ...MANIFEST_HEADERS, "content-type": "application/json" },
  });
}

function toEntry(list: ServedList, base: string): IdListEntry {
  switch (list.kind) {
    case "missing":
      return { ...missingEntry(list.name), url: `${base}${FILE_PATH}${MISSING_FILE_ID}` };
    case "on_disk": {
      const { name, file, needsDigest } = list;
      const { fileID, creationTime, bytes: size, digest } = file;
      const path = `${FILE_PATH}${encodeURIComponent(fileID)}`;
      const url = `${base}${path}${needsDigest ? `?of=${digest.slice(0, DIGEST_CHARS)}` : ""}`;
      return { name, url, fileID, size, creationTime };
    }
  }
}

/** The path of files that SDKs expect, followed by the fileID. */
const FILE_PATH = "/v1/download_id_list_file/";

const FILE_HEADERS = {
  "content-type": "text/plain",
  "accept-ranges": "bytes",
  "cache-control": "private, no-cache",
};

/** The next poll of ID lists, at most a minute away, fetches the file again. */
const UNREADABLE_RETRY_MS = 60_000;

/**
 * Serves the files of ID lists, whole or in part, read while they are sent. No SDK key is required, since some SDKs send none
 * (docs/protocol.md, ID lists). A fileID is looked up among the files of manifests; it never becomes part of a path.
 */
export function fileRoutes(proxied: ProxiedLists): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.get(`${FILE_PATH}*`, async ({ req }) => {
    const { pathname, searchParams } = new URL(req.raw.url);
    const fileID = decodeOrUndefined(collapseSlashes(pathname).slice(FILE_PATH.length));
    if (fileID === MISSING_FILE_ID) return emptyFile();
    const found = fileID && proxied.find(fileID, searchParams.get("of") ?? "");
    if (!found) return errorResponse(404);
    const { file, path } = found;
    const onFailure = (error: unknown) => proxied.reportUnreadable(file, error);
    // Checked before the headers are sent. A later failure cuts the connection.
    if (!(await isReadable(path, onFailure)))
      return unavailableResponse(UNREADABLE_RETRY_MS, "The file of the ID list cannot be read: retry later");
    return fileResponse({ path, size: file.bytes, onFailure }, readRange(req.raw.headers, searchParams));
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
