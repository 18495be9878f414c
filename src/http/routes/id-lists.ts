import { Hono } from "hono";
import { parseSdkKey } from "../../access/sdk-key.ts";
import type { IdListService, IdListSettings, ManifestLookup } from "../../id-lists/service.ts";
import { withTrace } from "../../platform/trace-context.ts";
import { type BodyReader, SMALL_BODY_BYTES } from "../request-body.ts";
import type { RequestEnv } from "../request-context.ts";
import {
  malformedKeyResponse,
  throttledResponse,
  unauthorizedResponse,
  unavailableResponse,
} from "../responses.ts";

const MANIFEST_HEADERS = { "cache-control": "private, no-cache", vary: "statsig-api-key, host" };

/** Serves `/v1/get_id_lists`, by POST as SDKs do, and by GET with the key in the path (docs/protocol.md, ID lists). */
export function manifestRoutes(
  service: IdListService,
  { files, publicUrl }: IdListSettings,
  bodies: BodyReader,
): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  const contentType = files === "proxied" ? "application/json;charset=utf-8" : "application/json";
  const handle = async (key: string, { url, headers }: Request) => {
    const sdkKey = parseSdkKey(key);
    if (sdkKey === undefined) return malformedKeyResponse(key);
    const filesBase = publicUrl ?? new URL(url).origin;
    return toResponse(await withTrace(headers, () => service.manifest({ sdkKey, filesBase })), contentType);
  };
  app.on(["GET", "POST"], "/v1/get_id_lists/:key?", ({ req, env }) => {
    const key = req.header("statsig-api-key") || readPathKey(req.param("key"));
    // The body is read and ignored. SDKs send {}, their metadata, or none; an unread body would block the connection.
    return bodies.withBody(req.raw, env, () => handle(key, req.raw), SMALL_BODY_BYTES);
  });
  return app;
}

function toResponse(found: ManifestLookup, contentType: string): Response {
  switch (found.kind) {
    case "manifest":
      return new Response(found.text, { headers: { ...MANIFEST_HEADERS, "content-type": contentType } });
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
