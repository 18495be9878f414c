import { Hono } from "hono";
import { parseSdkKey } from "../../access/sdk-key.ts";
import { type IdListEntry, MISSING_FILE_ID, missingEntry } from "../../id-lists/manifest.ts";
import { FILE_PATH, type OnDemandFiles } from "../../id-lists/on-demand.ts";
import type { ProxiedLists, ServedList } from "../../id-lists/proxied-lists.ts";
import type { IdListQuery } from "../../id-lists/query.ts";
import type { HeldManifest } from "../../id-lists/store.ts";
import { withTrace } from "../../platform/trace-context.ts";
import { type BodyReader, SMALL_BODY_BYTES } from "../request-body.ts";
import type { RequestEnv } from "../request-context.ts";
import {
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
  /** Set if the relay fetches files only when clients ask for them. */
  readonly onDemand: OnDemandFiles | undefined;
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
