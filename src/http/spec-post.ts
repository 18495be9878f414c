import { Hono } from "hono";
import type { ExchangeEnv } from "./exchange.ts";
import { type BodyReader, SMALL_BODY_BYTES } from "./request-body.ts";
import type { SpecRoute } from "./spec-route.ts";
import { readSinceTime, readSpecTarget } from "./spec-target.ts";
import { errorResponse } from "./status-json.ts";

/** `POST /v1/download_config_specs` with `{sinceTime, statsigMetadata}`, as the legacy Rust SDK asks (WIRE 1). */
export function specPostRoutes(route: SpecRoute, bodies: BodyReader): Hono<ExchangeEnv> {
  const app = new Hono<ExchangeEnv>();
  app.post("/:version{v[12]}/download_config_specs/:key?", async (context) => {
    const target = readSpecTarget(context.req.url);
    const { raw } = context.req;
    const answer = (bytes: Uint8Array) => {
      const body = parseBody(new TextDecoder().decode(bytes));
      if (target === undefined || body === undefined) return errorResponse(400);
      const sinceTime = "sinceTime" in body ? readSinceTime(body["sinceTime"]) : target.sinceTime;
      return route.ask(raw, { ...target, sinceTime });
    };
    // It is parsed by the thread that serves everybody.
    return bodies.withBody(raw, context.env, answer, SMALL_BODY_BYTES);
  });
  return app;
}

/** No body at all asks for everything, as `{}` does. */
function parseBody(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text.trim() === "") return {};
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? { ...body } : undefined;
  } catch {
    return undefined;
  }
}
