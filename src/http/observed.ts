import type { Hono } from "hono";
import type { EmitHttpEvent } from "./events.ts";
import type { Answer, ExchangeEnv } from "./exchange.ts";
import { readSpecTarget } from "./spec-target.ts";

/** The same answers, each told to `emit`. */
export function observed(answer: Answer, app: Hono<ExchangeEnv>, emit: EmitHttpEvent): Answer {
  const known = new Set(app.routes.map(({ path }) => path));
  return async (request, exchange) => {
    const startedAt = performance.now();
    const response = await answer(request, exchange);
    const tookMs = performance.now() - startedAt;
    const route = routeOf(request.url, known);
    emit({ kind: "http_request", method: request.method, route, status: response.status, tookMs });
    return response;
  };
}

/** From the route table: what clients make up must not fill logs and metrics, and may be an SDK key. */
function routeOf(url: string, known: ReadonlySet<string>): string {
  const target = readSpecTarget(url);
  if (target !== undefined) return `/${target.version}/download_config_specs`;
  const { pathname } = new URL(url, "http://localhost");
  return known.has(pathname) ? pathname : "other";
}
