import { Hono } from "hono";
import type { IdListQuery } from "../id-lists/id-list-query.ts";
import { type IdListEntry, MISSING_FILE_ID, missingEntry } from "../id-lists/manifest.ts";
import type { HeldManifest } from "../id-lists/manifest-store.ts";
import type { ProxiedLists, ServedList } from "../id-lists/proxied-lists.ts";
import { parseSdkKey, type SdkKey } from "../specs/sdk-key.ts";
import { carryingTrace } from "../trace-context.ts";
import type { ExchangeEnv } from "./exchange.ts";
import { FILE_PATH } from "./id-list-file.ts";
import { type BodyReader, SMALL_BODY_BYTES } from "./request-body.ts";
import {
  errorResponse,
  throttledResponse,
  unauthorizedResponse,
  unavailableResponse,
} from "./status-json.ts";

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

const HEADERS = { "cache-control": "private, no-cache", vary: "statsig-api-key, host" };

/** `/v1/get_id_lists`, by POST as SDKs ask, and by GET with the key in the path (WIRE 1 and 4). */
export function manifestRoutes(service: IdListService, bodies: BodyReader): Hono<ExchangeEnv> {
  const app = new Hono<ExchangeEnv>();
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
  const found = await carryingTrace(headers, () => service.query.ask(sdkKey));
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
    const lists = proxied.listsOf(held).map((list) => [list.name, entryFor(list, publicUrl)] as const);
    return Response.json(Object.fromEntries(lists), { headers: HEADERS });
  }
  return new Response(held.manifest.text, { headers: { ...HEADERS, "content-type": "application/json" } });
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
