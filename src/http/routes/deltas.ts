import { Hono } from "hono";
import { parseSdkKey } from "../../access/sdk-key.ts";
import type { RequestEnv } from "../request-context.ts";
import { errorResponse, malformedKeyResponse, unavailableResponse } from "../responses.ts";

/** SDKs that get no delta ask for the whole config spec, so they need not try often. */
const RETRY_AFTER_MS = 60_000;

/**
 * Answers `/v2/download_config_specs_deltas/{key}.json` as the original proxy does without `--deltas-background-loop-enabled`: the
 * request is checked, and there are no deltas (docs/protocol.md, Deltas).
 */
export function deltaRoutes(): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.get("/v2/download_config_specs_deltas/:key?", ({ req }) => {
    const pathKey = (req.param("key") ?? "").replace(/\.js(on)?$/, "");
    const key = req.header("statsig-api-key") || pathKey;
    if (parseSdkKey(key) === undefined) return malformedKeyResponse(key);
    const supportsProto = req.query("supports_proto") ?? req.header("statsig-supports-proto");
    if (supportsProto !== "true") return errorResponse(400, { message: "supports_proto=true is required" });
    const sinceTime = req.query("sinceTime") ?? "";
    if (!/^\d+$/.test(sinceTime)) return errorResponse(400, { message: "Missing sinceTime parameter" });
    if (Number(sinceTime) === 0) return errorResponse(400, { message: "sinceTime must be greater than 0" });
    return unavailableResponse(RETRY_AFTER_MS, "There are no deltas: request the whole config spec");
  });
  return app;
}
