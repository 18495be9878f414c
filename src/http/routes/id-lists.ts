import { Hono } from "hono";
import { parseSdkKey } from "../../access/sdk-key.ts";
import { type IdListEntry, MISSING_FILE_ID, missingEntry } from "../../id-lists/manifest.ts";
import { FILE_PATH } from "../../id-lists/on-demand.ts";
import type { IdListService, IdListSettings, ListedFile, ManifestLookup } from "../../id-lists/service.ts";
import { withTrace } from "../../platform/trace-context.ts";
import { type BodyReader, SMALL_BODY_BYTES } from "../request-body.ts";
import type { RequestEnv } from "../request-context.ts";
import {
  malformedKeyResponse,
  throttledResponse,
  unauthorizedResponse,
  unavailableResponse,
} from "../responses.ts";

/** The length of the digest in the URL of a file that shares its fileID with another file. */
const DIGEST_CHARS = 16;

const MANIFEST_HEADERS = { "cache-control": "private, no-cache", vary: "statsig-api-key, host" };

/** Serves `/v1/get_id_lists`, by POST as SDKs do, and by GET with the key in the path (docs/protocol.md, ID lists). */
export function manifestRoutes(
  service: IdListService,
  { publicUrl }: IdListSettings,
  bodies: BodyReader,
): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  const handle = async (key: string, { url, headers }: Request) => {
    const sdkKey = parseSdkKey(key);
    if (sdkKey === undefined) return malformedKeyResponse(key);
    const found = await withTrace(headers, () => service.manifest(sdkKey));
    return toResponse(found, publicUrl ?? new URL(url).origin);
  };
  app.on(["GET", "POST"], "/v1/get_id_lists/:key?", ({ req, env }) => {
    const key = req.header("statsig-api-key") || readPathKey(req.param("key"));
    // The body is read and ignored. SDKs send {}, their metadata, or none; an unread body would block the connection.
    return bodies.withBody(req.raw, env, () => handle(key, req.raw), SMALL_BODY_BYTES);
  });
  return app;
}

/** `base`: scheme, host and port by which clients reach the relay. */
function toResponse(found: ManifestLookup, base: string): Response {
  switch (found.kind) {
    case "lists": {
      const entries = found.lists.map((list) => [list.name, toEntry(list, base)] as const);
      return Response.json(Object.fromEntries(entries), { headers: MANIFEST_HEADERS });
    }
    case "text": {
      const headers = { ...MANIFEST_HEADERS, "content-type": "application/json" };
      return new Response(found.text, { headers });
    }
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

function toEntry(list: ListedFile, base: string): IdListEntry {
  switch (list.kind) {
    case "missing":
      return { ...missingEntry(list.name), url: `${base}${FILE_PATH}${MISSING_FILE_ID}` };
    case "on_disk": {
      const { name, fileID, creationTime, bytes: size, digest } = list;
      const path = `${FILE_PATH}${encodeURIComponent(fileID)}`;
      const url = `${base}${path}${digest === undefined ? "" : `?of=${digest.slice(0, DIGEST_CHARS)}`}`;
      return { name, url, fileID, size, creationTime };
    }
  }
}
