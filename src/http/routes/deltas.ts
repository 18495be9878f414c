import { Hono } from "hono";
import { parseSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import type { Clock } from "../../platform/clock.ts";
import { withTrace } from "../../platform/trace-context.ts";
import { findDelta, type VersionId } from "../../specs/deltas/delta.ts";
import type { SpecLookups } from "../../specs/query.ts";
import { isNewsTo } from "../../specs/snapshot.ts";
import type { HeldFeed } from "../../specs/store.ts";
import { CodingNegotiation } from "../negotiation.ts";
import type { RequestEnv } from "../request-context.ts";
import {
  errorResponse,
  malformedKeyResponse,
  throttledResponse,
  unauthorizedResponse,
  unavailableResponse,
} from "../responses.ts";
import type { SpecResponses } from "../spec-responses.ts";
import { readChecksum, readSinceTime } from "../spec-target.ts";

const NO_DELTA = "There is no delta from this version: request the whole config spec";
const NOT_ACCEPTABLE = "Deltas are sent as statsig-br only, which Accept-Encoding does not name";
const NOTHING_CACHED = "No config spec of this SDK key is cached, and none could be fetched: retry later";

/**
 * Serves `/v2/download_config_specs_deltas/{key}.json`, which asks for a delta and nothing else, with the statuses of the original
 * proxy (docs/protocol.md, Deltas).
 */
export function deltaRoutes(
  query: SpecLookups,
  responses: SpecResponses,
  clock: Pick<Clock, "now">,
): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  const negotiation = new CodingNegotiation();
  app.get("/v2/download_config_specs_deltas/:key?", async ({ req }) => {
    const pathKey = (req.param("key") ?? "").replace(/\.js(on)?$/, "");
    const key = req.header("statsig-api-key") || pathKey;
    const sdkKey = parseSdkKey(key);
    if (sdkKey === undefined) return malformedKeyResponse(key);
    const supportsProto = req.query("supports_proto") ?? req.header("statsig-supports-proto");
    if (supportsProto !== "true") return errorResponse(400, { message: "supports_proto=true is required" });
    const since = req.query("sinceTime") ?? "";
    if (!/^\d+$/.test(since)) return errorResponse(400, { message: "Missing sinceTime parameter" });
    if (Number(since) === 0) return errorResponse(400, { message: "sinceTime must be greater than 0" });
    const { statsigBr } = negotiation.read(req.header("accept-encoding") ?? null);
    if (!statsigBr) return errorResponse(406, { message: NOT_ACCEPTABLE });
    const client = { lcut: readSinceTime(since), checksum: readChecksum(req.query("checksum") ?? "") };
    return withTrace(req.raw.headers, () => respond(sdkKey, client));
  });

  async function respond(sdkKey: SdkKey, client: VersionId): Promise<Response> {
    const held = query.held(sdkKey, "v2", "proto");
    if (held !== undefined) return choose(held, client);
    const found = await query.ask(sdkKey, "v2", "proto");
    switch (found.kind) {
      case "held":
        return choose(found.held, client);
      case "unauthorized":
        return unauthorizedResponse();
      case "unavailable":
        return unavailableResponse(found.retryAfterMs, NOTHING_CACHED);
      case "throttled":
        return throttledResponse(found.retryAfterMs);
    }
  }

  function choose(held: HeldFeed, client: VersionId): Response {
    const { snapshot } = held;
    if (!isNewsTo(client.lcut, snapshot, client.checksum)) {
      const response = responses.noUpdate(held).response();
      response.headers.set("x-deltas-used", "true");
      return response;
    }
    const delta = findDelta(snapshot, client, clock.now());
    return delta === undefined
      ? errorResponse(409, { message: NO_DELTA })
      : responses.delta(held, delta).response();
  }
  return app;
}
