import { Hono } from "hono";
import { SharedCount } from "../../platform/shared-count.ts";
import type { EmitLimitEvent } from "../../server/limits.ts";
import { createApp } from "../app.ts";
import { HttpListener } from "../http-listener.ts";
import type { RequestEnv } from "../request-context.ts";
import { documentRoutes } from "./documents.ts";
import { type OperatorApi, operatorRoutes } from "./operator-routes.ts";
import { contentSecurityPolicy, statusPage } from "./page/page.ts";
import { type DebugEndpoints, profileRoutes } from "./profile-routes.ts";

interface ManagementAppOptions {
  /** Returns every reason why the relay is not ready; empty if it is ready. */
  readonly notReady: () => readonly string[];
  /** Returns all metrics in the Prometheus text format. */
  readonly metrics: () => Promise<string>;
  /** Returns the status as JSON text. */
  readonly status: () => Promise<string>;
  readonly operators: OperatorApi;
  readonly debug: DebugEndpoints;
  /** Called with unexpected errors. */
  readonly onFault: (error: unknown) => void;
}

interface ManagementOptions extends ManagementAppOptions {
  readonly bindAddress: string;
  readonly port: number;
  readonly emitLimit: EmitLimitEvent;
}

/** Operators need few connections, and must get them whatever clients do on other ports. */
const LIMITS = {
  maxConnections: 200,
  maxHeaderBytes: 16 * 1024,
  headerTimeoutMs: 10_000,
  idleTimeoutMs: 75_000,
  unreadTimeoutMs: 60_000,
};

const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Serves operators on a port of its own, which clients need not reach: probes, metrics and the status page. */
export class ManagementListener implements Disposable {
  readonly #listener: HttpListener;

  /** Throws the system error if the port cannot be opened. */
  constructor(options: ManagementOptions) {
    const { bindAddress, port, emitLimit } = options;
    const app = createManagementApp(options);
    this.#listener = new HttpListener({
      ...{ bindAddress, port, reusePort: false, connections: new SharedCount(), emitLimit },
      handler: { fromCache: () => undefined, handle: (request, context) => app.fetch(request, context) },
      ...LIMITS,
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  [Symbol.dispose](): void {
    this.#listener.abort();
  }
}

/** Returns all routes of the port. */
function createManagementApp(options: ManagementAppOptions): Hono<RequestEnv> {
  const { status, operators, debug, onFault } = options;
  const parts = [
    managementRoutes(options),
    statusRoutes(status),
    documentRoutes(),
    profileRoutes(debug),
    operatorRoutes(operators),
  ];
  return createApp(parts, {}, onFault);
}

function managementRoutes({ notReady, metrics }: ManagementAppOptions): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.get("/healthz", (context) => context.json({ status: "alive" }));
  app.get("/readyz", (context) => {
    const reasons = notReady();
    if (reasons.length === 0) return context.json({ status: "ready" });
    return context.json({ status: "not ready", reasons }, 503);
  });
  app.get("/metrics", async () => {
    return new Response(await metrics(), { headers: { "content-type": PROMETHEUS_TYPE } });
  });
  return app;
}

/** Serves `/status.json`, and at `/` the page that shows it. */
function statusRoutes(readStatus: ManagementOptions["status"]): Hono<RequestEnv> {
  const pageHeaders = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": contentSecurityPolicy,
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
  };
  const jsonHeaders = { "content-type": "application/json", "cache-control": "no-store" };
  const app = new Hono<RequestEnv>();
  app.get("/", () => new Response(statusPage, { headers: pageHeaders }));
  app.get("/status.json", async () => new Response(await readStatus(), { headers: jsonHeaders }));
  return app;
}
