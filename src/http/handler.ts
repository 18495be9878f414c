import type { Hono } from "hono";
import type { IdListService, IdListSettings } from "../id-lists/service.ts";
import type { LogEventService } from "../log-events/intake.ts";
import type { Clock } from "../platform/clock.ts";
import type { EmitLimitEvent, InFlight } from "../server/limits.ts";
import type { SpecLookups } from "../specs/query.ts";
import type { HeldFeed } from "../specs/store.ts";
import { shuttingDown } from "../streams/status-error.ts";
import type { StreamBodies } from "../streams/stream-bodies.ts";
import { createApp } from "./app.ts";
import { type AllowedOrigins, withCors } from "./cors.ts";
import { type EmitHttpEvent, type RequestMeter, RequestObserver } from "./observer.ts";
import { type BodyBudget, BodyReader } from "./request-body.ts";
import {
  RESPONSE_TIMEOUT_MS,
  type RequestContext,
  type RequestEnv,
  type RequestHandler,
  type RequestHead,
} from "./request-context.ts";
import { readRoutePath } from "./request-path.ts";
import { errorResponse, failureResponse } from "./responses.ts";
import { deltaRoutes } from "./routes/deltas.ts";
import { fileRoutes } from "./routes/id-list-files.ts";
import { manifestRoutes } from "./routes/id-lists.ts";
import { logEventRoutes } from "./routes/log-event.ts";
import { isProbe, probeRoutes, type ReadProbeState } from "./routes/probes.ts";
import { type RpcCalls, RpcMount } from "./routes/rpc.ts";
import { SpecStreamRoute } from "./routes/spec-streams.ts";
import { type CachedResponse, SpecRoute, specPostRoutes } from "./routes/specs.ts";
import { type PreparedResponse, SpecResponses } from "./spec-responses.ts";
import { readSpecTarget, readStreamTarget, type SpecTarget } from "./spec-target.ts";
import { StreamedResponse } from "./streams/streamed-response.ts";

interface HttpLimits {
  readonly maxUrlLength: number;
  readonly maxHeaders: number;
  readonly bodyTimeoutMs: number;
}

interface HttpHandlerOptions {
  readonly query: SpecLookups;
  readonly streams: StreamBodies;
  readonly idLists: IdListService;
  readonly idListSettings: IdListSettings;
  readonly intake: LogEventService;
  readonly readProbeState: ReadProbeState;
  /** Called when a client first calls an RPC. */
  readonly loadRpcs: () => Promise<RpcCalls>;
  readonly clock: Pick<Clock, "now">;
  readonly limits: HttpLimits;
  readonly inFlight: InFlight;
  readonly bodyBudget: BodyBudget;
  readonly corsOrigins: AllowedOrigins;
  readonly emitLimit: EmitLimitEvent;
  readonly meter: RequestMeter;
  /** Called with unexpected errors. Their requests get a 500, or a 503 if another thread does not reply. */
  readonly onFault: (error: unknown) => void;
  /** The listener of per-request events, if there is one. */
  readonly emit: EmitHttpEvent | undefined;
}

/** The largest request body, except where the limit of log_event is set higher. */
const MAX_BODY_BYTES = 5 * 1024 * 1024;

/** Handles every request of the HTTP and HTTPS ports: the REST endpoints, and RPCs over Connect and gRPC-Web. */
export class HttpHandler {
  readonly handle: RequestHandler;
  readonly maxBodyBytes: number;
  readonly #options: HttpHandlerOptions;
  readonly #rpcs: RpcMount;
  readonly #specResponses: SpecResponses;
  readonly #specs: SpecRoute;
  readonly #specStreams: SpecStreamRoute;
  readonly #app: Hono<RequestEnv>;
  readonly #paths: ReadonlySet<string>;
  /** The beginnings of the paths that end with an SDK key or an ID. */
  readonly #openPaths: readonly string[];
  readonly #bodies: BodyReader;
  readonly #observer: RequestObserver;

  constructor(options: HttpHandlerOptions) {
    this.#options = options;
    this.#specResponses = new SpecResponses(options.meter);
    this.#specs = new SpecRoute(options.query, this.#specResponses, options.clock);
    this.maxBodyBytes = Math.max(MAX_BODY_BYTES, options.intake.maxBodyBytes);
    this.#bodies = new BodyReader({
      timeoutMs: options.limits.bodyTimeoutMs,
      maxBytes: this.maxBodyBytes,
      budget: options.bodyBudget,
      inFlight: options.inFlight,
      emit: options.emitLimit,
    });
    this.#specStreams = new SpecStreamRoute(options.streams, () => this.#bodies.busy());
    this.#rpcs = new RpcMount(options.loadRpcs, this.#bodies);
    this.#app = this.#createApp(options, this.#bodies);
    const paths = this.routes.map(({ path }) => path);
    this.#paths = new Set(paths);
    this.#openPaths = paths.flatMap((path) => OPEN_PATH.exec(path)?.[1] ?? []);
    this.#observer = new RequestObserver(options.meter, options.emit);
    this.handle = withFaultReports(
      withCors((request, context: RequestContext) => this.#handle(request, context), options.corsOrigins),
      options.onFault,
    );
  }

  /** The paths of every route and their methods, as the OpenAPI document has them. */
  get routes(): readonly { readonly path: string; readonly method: string }[] {
    return this.#app.routes;
  }

  /** Updates the headers of cached responses after upstream confirmed that the held version is the newest. */
  updateConfirmed(held: HeldFeed): void {
    this.#specResponses.updateConfirmed(held);
  }

  /** Replaces the listener of per-request events. Undefined turns them off. */
  setRequestListener(emit: EmitHttpEvent | undefined): void {
    this.#observer.setListener(emit);
  }

  /** Ends streams, so that clients go to another replica. */
  endStreams(): void {
    this.#options.streams.endAll(shuttingDown());
    this.#rpcs.endStreams();
  }

  /**
   * Returns and counts the response to a request that can be answered from the cache without building a Request, which
   * would cost more than everything else. Returns undefined if the request needs {@link handle}, as with CORS.
   */
  fromCache(head: RequestHead, headerCount: number): PreparedResponse | undefined {
    const { limits, corsOrigins } = this.#options;
    if (head.url.length > limits.maxUrlLength || headerCount > limits.maxHeaders) return undefined;
    if (corsOrigins.length > 0 || !isRead(head)) return undefined;
    const startedAt = performance.now();
    const target = readSpecTarget(head.url);
    const cached = target && this.#specs.fromCache(head, target);
    if (target === undefined || cached === undefined) return undefined;
    this.#observeCached(head, target, cached, startedAt);
    return cached.prepared;
  }

  #createApp(options: HttpHandlerOptions, bodies: BodyReader): Hono<RequestEnv> {
    const { readProbeState, idLists, idListSettings, intake, onFault } = options;
    const parts = [
      probeRoutes(readProbeState),
      specPostRoutes(this.#specs, bodies),
      manifestRoutes(idLists, idListSettings, bodies),
      ...fileRoutes(idLists, idListSettings),
      deltaRoutes(options.query, this.#specResponses, options.clock),
      logEventRoutes(intake, bodies),
      this.#rpcs.app,
    ];
    const handledHere = {
      "/:version{v[12]}/download_config_specs/:key?": ["GET", "HEAD"],
      "/:version{v[12]}/stream_config_specs/:key?": ["GET"],
    };
    return createApp(parts, handledHere, onFault);
  }

  #handle(request: Request, context: RequestContext): Response | Promise<Response> {
    const startedAt = performance.now();
    const { method, url, headers } = request;
    const target = readSpecTarget(url);
    const readTarget = isRead(request) ? target : undefined;
    const rejection = this.#checkLimits(request, context);
    if (rejection === undefined && readTarget !== undefined) {
      const cached = this.#specs.fromCache(request, readTarget);
      if (cached !== undefined) {
        const response = cached.prepared.response();
        this.#observeCached(request, readTarget, cached, startedAt);
        return response;
      }
    }
    const followed = target === undefined ? readStreamTarget(url) : undefined;
    const route = followed ? STREAM_PATHS[followed.version] : this.#findRoute(url, target);
    const observed = { method, route, startedAt };
    const key = headers.get("statsig-api-key") || (target ?? followed)?.pathKey || "";
    const response =
      rejection ??
      (method === "GET" && followed !== undefined
        ? this.#openStream(request, context, followed)
        : this.#route(request, context, readTarget));
    return this.#observer.observe(observed, request, key, response);
  }

  #observeCached(head: RequestHead, target: SpecTarget, cached: CachedResponse, startedAt: number): void {
    const { prepared, accepted, wantsDelta } = cached;
    const observed = { method: head.method, route: SPEC_PATHS[target.version], startedAt };
    this.#observer.observeCached(
      observed,
      head.headers,
      prepared.status,
      prepared.cell(accepted, wantsDelta),
    );
  }

  /** Returns a path of the route table: paths of clients must not fill logs and metrics, and may hold an SDK key. */
  #findRoute(url: string, target: SpecTarget | undefined): string {
    if (target !== undefined) return SPEC_PATHS[target.version];
    const path = readRoutePath(url);
    if (this.#paths.has(path)) return path;
    return this.#openPaths.find((open) => path === open || path.startsWith(`${open}/`)) ?? "other";
  }

  #checkLimits({ url }: Request, { headerCount }: RequestContext): Response | undefined {
    const { maxUrlLength, maxHeaders } = this.#options.limits;
    if (url.length > maxUrlLength) return this.#reject(414, "max-url-length");
    if (headerCount > maxHeaders) return this.#reject(431, "max-header-count");
    return undefined;
  }

  #reject(status: number, limit: "max-url-length" | "max-header-count"): Response {
    this.#options.emitLimit({ kind: "limit_reached", limit });
    return errorResponse(status);
  }

  #route(
    request: Request,
    context: RequestContext,
    target: SpecTarget | undefined,
  ): Response | Promise<Response> {
    if (target !== undefined) return this.#withSlot(context, () => this.#specs.fetch(request, target));
    const route = () => this.#app.fetch(request, context);
    // A request with a body takes its slot once the body has been read; probes take none.
    const takesSlot = request.body === null && !isProbe(readRoutePath(request.url));
    return takesSlot ? this.#withSlot(context, route) : route();
  }

  /** Takes no slot of a request in flight, which ends with its response. */
  async #openStream(request: Request, context: RequestContext, target: SpecTarget): Promise<Response> {
    context.setDeadline(RESPONSE_TIMEOUT_MS);
    const response = await this.#specStreams.open(request, target);
    // A stream must not be cut while it is idle.
    if (response instanceof StreamedResponse) context.setDeadline(0);
    return response;
  }

  /** Runs `work` if fewer requests are in flight than allowed. */
  async #withSlot(context: RequestContext, work: () => Response | Promise<Response>): Promise<Response> {
    context.setDeadline(RESPONSE_TIMEOUT_MS);
    using slot = this.#options.inFlight.enter();
    return slot === undefined ? this.#bodies.busy() : await work();
  }
}

/** A path of the route table whose last segment is a parameter or anything. */
const OPEN_PATH = /^(\/.+)\/(?::\w+\?|\*)$/;

const STREAM_PATHS = { v1: "/v1/stream_config_specs", v2: "/v2/stream_config_specs" } as const;

const SPEC_PATHS = { v1: "/v1/download_config_specs", v2: "/v2/download_config_specs" } as const;

function isRead({ method }: RequestHead): boolean {
  return method === "GET" || method === "HEAD";
}

/** Reports errors and turns them into a 500 or 503. Errors after the client has gone are not reported. */
function withFaultReports(handle: RequestHandler, onFault: (error: unknown) => void): RequestHandler {
  return (request, context) => {
    const onError = (error: unknown) => {
      if (!request.signal.aborted) onFault(error);
      return failureResponse(error);
    };
    try {
      const response = handle(request, context);
      return response instanceof Promise ? response.catch(onError) : response;
    } catch (error) {
      return onError(error);
    }
  };
}
