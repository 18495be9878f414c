import { Hono } from "hono";
import { createApp } from "./app.ts";
import type { ExchangeEnv } from "./exchange.ts";
import type { Probes } from "./probes.ts";
import { errorResponse } from "./status-json.ts";
import { type ReadStatus, statusRoutes } from "./status-page.ts";

export interface ManagementOptions {
  readonly bindAddress: string;
  readonly port: number;
  readonly probes: Probes;
  /** In the text format of Prometheus. */
  readonly metrics: () => Promise<string>;
  readonly status: ReadStatus;
}

const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** For operators, on a port of its own, which clients need not reach. */
export class ManagementListener implements AsyncDisposable {
  readonly #server: Bun.Server<undefined>;

  /** Throws the system's error where the port can't be had. */
  constructor(options: ManagementOptions) {
    const app = createApp([managementRoutes(options), statusRoutes(options.status)], {});
    this.#server = Bun.serve({
      hostname: options.bindAddress,
      port: options.port,
      maxRequestBodySize: 0,
      development: false,
      // With `development: false` Bun would let two relays share a port unawares.
      reusePort: false,
      error: () => errorResponse(500),
      fetch: (request) => app.fetch(request),
    });
  }

  get port(): number {
    return this.#server.port ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

function managementRoutes({ probes, metrics }: ManagementOptions): Hono<ExchangeEnv> {
  const app = new Hono<ExchangeEnv>();
  app.get("/healthz", (context) => context.json({ status: "alive" }));
  app.get("/readyz", (context) => {
    const reasons = probes.notReady();
    if (reasons.length === 0) return context.json({ status: "ready" });
    return context.json({ status: "not ready", reasons }, 503);
  });
  app.get("/metrics", async () => {
    return new Response(await metrics(), { headers: { "content-type": PROMETHEUS_TYPE } });
  });
  return app;
}
