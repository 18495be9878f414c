import type { Hono } from "hono";
import type { EventIntake } from "../log-events/intake.ts";
import type { SpecQuery } from "../specs/spec-query.ts";
import { createApp } from "./app.ts";
import type { EmitHttpEvent } from "./events.ts";
import { fileRoutes } from "./id-list-file.ts";
import { type IdListService, manifestRoutes } from "./id-list-manifest.ts";
import { logEventRoutes } from "./log-event.ts";
import { observed } from "./observed.ts";
import { type Probes, probeRoutes } from "./probes.ts";
import { RpcMount, type RpcRoutes } from "./rpc-mount.ts";
import { specPostRoutes } from "./spec-post.ts";
import { SpecRoute } from "./spec-route.ts";
import { readSpecTarget } from "./spec-target.ts";
import { errorResponse } from "./status-json.ts";

export interface HttpListenerOptions {
  readonly bindAddress: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly query: SpecQuery;
  readonly idLists: IdListService;
  /** Of SDKs' events. */
  readonly intake: EventIntake;
  readonly probes: Probes;
  readonly routes: RpcRoutes;
  /** Undefined where nobody watches single requests: they are then not even timed. */
  readonly emit: EmitHttpEvent | undefined;
}

/** Longer than a first request for a key may take upstream. */
const IDLE_TIMEOUT_S = 60;

/** The largest body of any route but log_event's, which may be set to take more. */
const MAX_BODY_BYTES = 5 * 1024 * 1024;

/** REST, and the RPCs over Connect, in plaintext. */
export class HttpListener {
  readonly #server: Bun.Server<undefined>;
  readonly #rpcs: RpcMount;
  readonly #specs: SpecRoute;
  readonly #app: Hono;

  /** Throws the system's error where the port can't be had. */
  constructor(options: HttpListenerOptions) {
    this.#specs = new SpecRoute(options.query);
    this.#rpcs = new RpcMount(options.routes, (request) => this.#server.timeout(request, 0));
    this.#app = this.#createApp(options);
    const answer = (request: Request) => this.#answer(request);
    this.#server = Bun.serve({
      hostname: options.bindAddress,
      port: options.port,
      idleTimeout: IDLE_TIMEOUT_S,
      maxRequestBodySize: Math.max(MAX_BODY_BYTES, options.intake.maxBodyBytes),
      // Else Bun answers a fault of ours with a page that shows the code.
      development: false,
      error: () => errorResponse(500),
      fetch: options.emit === undefined ? answer : observed(answer, this.#app, options.emit),
    });
  }

  get port(): number {
    return this.#server.port ?? 0;
  }

  /** Takes no more connections, ends streams, waits for requests in flight. */
  async close(): Promise<void> {
    this.#rpcs.endStreams();
    await this.#server.stop();
  }

  /** Ends what {@link close} still waits for. */
  async abort(): Promise<void> {
    await this.#server.stop(true);
  }

  #createApp({ probes, idLists, intake }: HttpListenerOptions): Hono {
    const { proxied } = idLists;
    const parts = [
      probeRoutes(probes),
      specPostRoutes(this.#specs),
      manifestRoutes(idLists),
      ...(proxied === undefined ? [] : [fileRoutes(proxied)]),
      logEventRoutes(intake),
      this.#rpcs.app,
    ];
    return createApp(parts, { "/:version{v[12]}/download_config_specs/:key?": ["GET", "HEAD"] });
  }

  #answer(request: Request): Response | Promise<Response> {
    if (request.method === "GET" || request.method === "HEAD") {
      const target = readSpecTarget(request.url);
      if (target !== undefined) return this.#specs.answer(request, target);
    }
    // HTTP/1.0 needs no Host, and probes of load balancers send none.
    const hostless = request.url.startsWith("/");
    return this.#app.fetch(hostless ? new Request(`http://localhost${request.url}`, request) : request);
  }
}
