import { Hono } from "hono";
import type { RequestEnv } from "../request-context.ts";
import { errorResponse } from "../responses.ts";

/** The state of the relay that probes report. */
export interface ProbeState {
  /** Whether startup is complete. */
  readonly isStarted: boolean;
  /** Every reason why the relay is not ready; empty if it is ready. */
  readonly notReady: readonly string[];
}

export type ReadProbeState = () => Promise<ProbeState>;

const OK_BODY = "{}";

/** The length is set here for HEAD: Hono removes the body of its response, and with it the length. */
const OK_HEADERS = { "content-type": "application/json", "content-length": String(OK_BODY.length) };

const PATHS = ["/v1/health", "/v1/startup", "/v1/ready"];

/** Whether the path is a probe. Probes bypass the limit of requests in flight: a failed probe may end the relay. */
export function isProbe(path: string): boolean {
  return PATHS.includes(path);
}

/** Serves `/v1/health` (the process is alive), `/v1/startup` and `/v1/ready`, as the original proxy does. */
export function probeRoutes(read: ReadProbeState): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.get("/v1/health", okResponse);
  app.get("/v1/startup", async () => {
    const { isStarted } = await read();
    return isStarted ? okResponse() : errorResponse(503, { reason: "starting" });
  });
  app.get("/v1/ready", async () => {
    const { notReady } = await read();
    return notReady.length === 0 ? okResponse() : errorResponse(503, { reason: notReady.join("; ") });
  });
  return app;
}

function okResponse(): Response {
  return new Response(OK_BODY, { headers: OK_HEADERS });
}
