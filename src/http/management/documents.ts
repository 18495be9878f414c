import { Hono } from "hono";
import type { RequestEnv } from "../request-context.ts";
import management from "./documents/openapi.json" with { type: "text" };
import clients from "./documents/openapi-clients.json" with { type: "text" };
import statusSchema from "./documents/status.schema.json" with { type: "text" };

/** What describes the other responses to programs: path, content type and text. */
const DOCUMENTS = [
  ["/status.schema.json", "application/schema+json", statusSchema],
  ["/openapi.json", "application/json", management],
  ["/openapi-clients.json", "application/json", clients],
] as const;

/** Serves the JSON Schema of the status, and OpenAPI documents of this port and of the client ports. */
export function documentRoutes(): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  for (const [path, type, text] of DOCUMENTS) {
    // They change with the version of the relay alone, which a browser cannot know.
    const headers = { "content-type": type, "cache-control": "no-cache" };
    app.get(path, () => new Response(String(text), { headers }));
  }
  return app;
}
