import { Hono } from "hono";
import type { IdListQuery } from "../id-lists/id-list-query.ts";
import type { HeldManifest } from "../id-lists/manifest-store.ts";
import type { ProxiedLists, ServedList } from "../id-lists/proxied-lists.ts";
import { parseSdkKey } from "../specs/sdk-key.ts";
import type { ExchangeEnv } from "./exchange.ts";
import { FILE_PATH } from "./id-list-file.ts";
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
export function manifestRoutes(service: IdListService): Hono<ExchangeEnv> {
  const app = new Hono<ExchangeEnv>();
  app.on(["GET", "POST"], "/v1/get_id_lists/:key?", async (context) => {
    const { headers, url } = context.req.raw;
    // Nothing in the body says anything: SDKs send {}, their metadata, or none.
    const sdkKey = parseSdkKey(headers.get("statsig-api-key") || keyInPath(context.req.param("key")));
    if (sdkKey === undefined) return errorResponse(400);
    const answer = await service.query.ask(sdkKey);
    switch (answer.kind) {
      case "held":
        return manifestResponse(answer.held, service, new URL(url).origin);
      case "unauthorized":
        return unauthorizedResponse();
      case "unavailable":
        return unavailableResponse(answer.retryAfterMs);
      case "throttled":
        return throttledResponse(answer.retryAfterMs);
    }
  });
  return app;
}

const keyInPath = (segment = ""): string => segment.replace(/\.json?$|\.js$/, "");

function manifestResponse(held: HeldManifest, service: IdListService, origin: string): Response {
  const { proxied, publicUrl = origin } = service;
  if (proxied !== undefined) {
    const lists = proxied.listsOf(held).map((list) => [list.name, entryOf(list, publicUrl)] as const);
    return Response.json(Object.fromEntries(lists), { headers: HEADERS });
  }
  return new Response(held.manifest.text, { headers: { ...HEADERS, "content-type": "application/json" } });
}

function entryOf({ name, file, needsDigest }: ServedList, base: string) {
  const { fileID, creationTime, bytes: size, digest } = file;
  const path = `${FILE_PATH}${encodeURIComponent(fileID)}`;
  const url = `${base}${path}${needsDigest ? `?of=${digest.slice(0, DIGEST_CHARS)}` : ""}`;
  return { name, url, fileID, size, creationTime };
}
