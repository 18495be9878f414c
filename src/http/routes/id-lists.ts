import { access, constants } from "node:fs/promises";
import { Hono } from "hono";
import { parseSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import { type IdListEntry, MISSING_FILE_ID, missingEntry } from "../../id-lists/manifest.ts";
import type { ProxiedLists, ServedList } from "../../id-lists/proxied-lists.ts";
import type { IdListQuery } from "../../id-lists/query.ts";
import type { HeldManifest } from "../../id-lists/store.ts";
import { withTrace } from "../../platform/trace-context.ts";
import type { RequestEnv } from "../exchange.ts";
import { type BodyReader, SMALL_BODY_BYTES } from "../request-body.ts";
import { type FileRange, FileResponse } from "../response-content.ts";
import { errorResponse, throttledResponse, unauthorizedResponse, unavailableResponse } from "../responses.ts";

/** How clients get at ID lists. */
export interface IdListService {
  readonly query: IdListQuery;
  /** Where the relay serves the files itself; else manifests are passed through. */
  readonly proxied: ProxiedLists | undefined;
  /** Scheme, host and port by which clients reach the relay; undefined: as the request did. */
  readonly publicUrl: string | undefined;
}

/** Of a digest, in the url of a file whose fileID is another file's, too. */
const DIGEST_CHARS = 16;

const MANIFEST_HEADERS = { "cache-control": "private, no-cache", vary: "statsig-api-key, host" };

/** `/v1/get_id_lists`, by POST as SDKs ask, and by GET with the key in the path (WIRE 1 and 4). */
export function manifestRoutes(service: IdListService, bodies: BodyReader): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.on(["GET", "POST"], "/v1/get_id_lists/:key?", ({ req, env }) => {
    const sdkKey = parseSdkKey(req.header("statsig-api-key") || keyInPath(req.param("key")));
    // Nothing in the body says anything, SDKs send {}, their metadata, or none; unread it would stand in the way.
    return bodies.withBody(req.raw, env, () => answer(sdkKey, service, req.raw), SMALL_BODY_BYTES);
  });
  return app;
}

async function answer(
  sdkKey: SdkKey | undefined,
  service: IdListService,
  { url, headers }: Request,
): Promise<Response> {
  if (sdkKey === undefined) return errorResponse(400);
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
      return unavailableResponse(found.retryAfterMs);
    case "throttled":
      return throttledResponse(found.retryAfterMs);
  }
}

const keyInPath = (segment = ""): string => segment.replace(/\.json?$|\.js$/, "");

function manifestResponse(held: HeldManifest, service: IdListService, origin: string): Response {
  const { proxied, publicUrl = origin } = service;
  if (proxied !== undefined) {
    const lists = proxied.servedLists(held).map((list) => [list.name, entryFor(list, publicUrl)] as const);
    return Response.json(Object.fromEntries(lists), { headers: MANIFEST_HEADERS });
  }
  return new Response(held.manifest.text, {
    headers: { ...MANIFEST_HEADERS, "content-type": "application/json" },
  });
}

function entryFor(list: ServedList, base: string): IdListEntry {
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

/** The path that SDKs know for files; the fileID follows. */
const FILE_PATH = "/v1/download_id_list_file/";

const FILE_HEADERS = {
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
export function fileRoutes(proxied: ProxiedLists): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.get(`${FILE_PATH}*`, async ({ req }) => {
    const { pathname, searchParams } = new URL(req.raw.url);
    const fileID = decodedOrNothing(pathname.slice(FILE_PATH.length));
    if (fileID === MISSING_FILE_ID) return emptyFile();
    const found = fileID && proxied.find(fileID, searchParams.get("of") ?? "");
    if (!found) return errorResponse(404);
    const { file, path } = found;
    const onFailure = (error: unknown) => proxied.reportUnreadable(file, error);
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
  const headers = { ...FILE_HEADERS, ...partial, "content-length": String(end - first) };
  const range = { path, first, end, ...(onFailure && { onFailure }) };
  return new FileResponse(range, { status: partial ? 206 : 200, headers });
}

function emptyFile(): Response {
  return new Response(null, { headers: { ...FILE_HEADERS, "content-length": "0" } });
}

function decodedOrNothing(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

type ByteRange =
  | { readonly kind: "whole" }
  /** From `first` up to, not including, `end`. */
  | { readonly kind: "part"; readonly first: number; readonly end: number }
  | { readonly kind: "unsatisfiable" };

const WHOLE: ByteRange = { kind: "whole" };

/**
 * What a Range header asks for of so many bytes (RFC 9110, 14). Another unit, more than one range, or what can't be
 * read asks for nothing: the whole is sent.
 */
function readByteRange(header: string | null, size: number): ByteRange {
  const [, first = "", last = ""] = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header ?? "") ?? [];
  if (first === "" && last === "") return WHOLE;
  if (first === "") return part(Math.max(0, size - Number(last)), size, size);
  if (last !== "" && Number(last) < Number(first)) return WHOLE;
  return part(Number(first), last === "" ? size : Math.min(size, Number(last) + 1), size);
}

function part(first: number, end: number, size: number): ByteRange {
  return first < size && first < end ? { kind: "part", first, end } : { kind: "unsatisfiable" };
}
