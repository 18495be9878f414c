import { Hono } from "hono";
import type { RequestEnv } from "../exchange.ts";
import { errorResponse } from "../responses.ts";

/** What the probes ask. */
export interface Probes {
  /** Startup is over. */
  readonly started: () => boolean;
  /** Every reason why the relay is not ready; none where it is. */
  readonly notReady: () => readonly string[];
}

const OK = {} as const;

const PATHS = ["/v1/health", "/v1/startup", "/v1/ready"];

/** Probes are answered however busy the relay is: who asks may end it. */
export function isProbe(path: string): boolean {
  return PATHS.includes(path);
}

/** `/v1/health` (the process lives), `/v1/startup` and `/v1/ready`, as the original proxy has them. */
export function probeRoutes(probes: Probes): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.get("/v1/health", (context) => context.json(OK));
  app.get("/v1/startup", (context) =>
    probes.started() ? context.json(OK) : errorResponse(503, undefined, "starting"),
  );
  app.get("/v1/ready", (context) => {
    const reasons = probes.notReady();
    return reasons.length === 0 ? context.json(OK) : errorResponse(503, undefined, reasons.join("; "));
  });
  return app;
}
