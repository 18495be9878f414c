import type { Hono } from "hono";
import type { EventIntake } from "../log-events/intake.ts";
import type { EmitLimitEvent, InFlight } from "../server/limits.ts";
import type { SpecQuery } from "../specs/query.ts";
import type { HeldFeed } from "../specs/store.ts";
import { createApp } from "./app.ts";
import { type AllowedOrigins, withCors } from "./cors.ts";
import { type Answer, RESPONSE_TIMEOUT_MS, type RequestContext, type RequestEnv } from "./exchange.ts";
import type { RequestHead } from "./http1/exchange.ts";
import type { RequestMeter } from "./meter.ts";
import { type EmitHttpEvent, RequestObserver } from "./observer.ts";
import { BodyReader, IncomingBodies } from "./request-body.ts";
import { errorResponse } from "./responses.ts";
import { fileRoutes, type IdListService, manifestRoutes } from "./routes/id-lists.ts";
import { logEventRoutes } from "./routes/log-event.ts";
import { isProbe, type Probes, probeRoutes } from "./routes/probes.ts";
import { RpcMount, type RpcRoutes } from "./routes/rpc.ts";
import {
  type CachedResponse,
  readSpecTarget,
  SpecRoute,
  type SpecTarget,
  specPostRoutes,
} from "./routes/specs.ts";
import { type PreparedResponse, SpecResponses } from "./spec-responses.ts";

interface HttpLimits {
  readonly maxUrlLength: number;
  readonly maxHeaders: number;
  readonly bodyTimeoutMs: number;
}

interface HttpHandlerOptions {
  readonly query: SpecQuery;
  readonly idLists: IdListService;
  /** Of SDKs' events. */
  readonly intake: EventIntake;
  readonly probes: Probes;
  readonly routes: RpcRoutes;
  readonly limits: HttpLimits;
  readonly inFlight: InFlight;
  readonly corsOrigins: AllowedOrigins;
  readonly emitLimit: EmitLimitEvent;
  readonly meter: RequestMeter;
  /** Called with errors that nobody expected; their requests are answered with 500. */
  readonly onFault: (error: unknown) => void;
  /** Undefined where nobody watches single requests. */
  readonly emit: EmitHttpEvent | undefined;
}

/** The largest body of any route but log_event's, which may be set to take more. */
const MAX_BODY_BYTES = 5 * 1024 * 1024;

/** Bodies of all requests together, which are in memory at one time. */
const MAX_BODIES_BYTES = 128 * 1024 * 1024;

/** Bodies that are coming: each costs some kilobytes beside what has come of it. */
const MAX_ARRIVING_BODIES = 4_096;

/** What is answered over HTTP, whatever listener the request came by: REST, and the RPCs over Connect. */
export class HttpHandler {
  readonly answer: Answer;
  readonly maxBodyBytes: number;
  readonly #options: HttpHandlerOptions;
  readonly #rpcs: RpcMount;
  readonly #specAnswers: SpecResponses;
  readonly #specs: SpecRoute;
  readonly #app: Hono<RequestEnv>;
  readonly #bodies: BodyReader;
  readonly #observer: RequestObserver;

  constructor(options: HttpHandlerOptions) {
    this.#options = options;
    this.#specAnswers = new SpecResponses(options.meter);
    this.#specs = new SpecRoute(options.query, this.#specAnswers);
    this.maxBodyBytes = Math.max(MAX_BODY_BYTES, options.intake.maxBodyBytes);
    const bodies = new BodyReader({
      timeoutMs: options.limits.bodyTimeoutMs,
      maxBytes: this.maxBodyBytes,
      bodies: new IncomingBodies({ maxBytes: MAX_BODIES_BYTES, maxArriving: MAX_ARRIVING_BODIES }),
      inFlight: options.inFlight,
      emit: options.emitLimit,
    });
    this.#bodies = bodies;
    this.#rpcs = new RpcMount(options.routes, bodies);
    this.#app = this.#createApp(options, bodies);
    const { meter, emit } = options;
    this.#observer = new RequestObserver({ meter, app: this.#app, emit });
    this.answer = reportingFaults(
      withCors((request, exchange: RequestContext) => this.#answer(request, exchange), options.corsOrigins),
      options.onFault,
    );
  }

  /** Upstream said that what is held is the newest still. */
  confirmed(held: HeldFeed): void {
    this.#specAnswers.confirmed(held);
  }

  /** From now on this one watches single requests; undefined: nobody. */
  watch(emit: EmitHttpEvent | undefined): void {
    this.#observer.watch(emit);
  }

  endStreams(): void {
    this.#rpcs.endStreams();
  }

  #createApp({ probes, idLists, intake, onFault }: HttpHandlerOptions, bodies: BodyReader): Hono<RequestEnv> {
    const { proxied } = idLists;
    const parts = [
      probeRoutes(probes),
      specPostRoutes(this.#specs, bodies),
      manifestRoutes(idLists, bodies),
      ...(proxied === undefined ? [] : [fileRoutes(proxied)]),
      logEventRoutes(intake, bodies),
      this.#rpcs.app,
    ];
    return createApp(parts, { "/:version{v[12]}/download_config_specs/:key?": ["GET", "HEAD"] }, onFault);
  }

  /**
   * The response to a request that can be given from memory without making a Request of it, which would cost more than
   * all the rest. It is counted. Undefined where it takes more, as for pages of other origins.
   */
  fromMemory(head: RequestHead, headerCount: number): PreparedResponse | undefined {
    const { limits, corsOrigins } = this.#options;
    if (head.url.length > limits.maxUrlLength || headerCount > limits.maxHeaders) return undefined;
    if (corsOrigins.length > 0) return undefined;
    const startedAt = performance.now();
    const held = this.#held(head);
    if (held === undefined) return undefined;
    this.#observer.held(head, held, startedAt);
    return held.prepared;
  }

  #answer(request: Request, exchange: RequestContext): Response | Promise<Response> {
    const startedAt = performance.now();
    const refusal = this.#refusal(request, exchange);
    if (refusal !== undefined) return this.#observer.work(request, startedAt, refusal);
    const held = this.#held(request);
    if (held === undefined) return this.#observer.work(request, startedAt, this.#route(request, exchange));
    const response = held.prepared.response();
    this.#observer.held(request, held, startedAt);
    return response;
  }

  #held(request: RequestHead): CachedResponse | undefined {
    const target = specTargetOf(request);
    return target && this.#specs.held(request, target);
  }

  #refusal({ url }: Request, { headerCount }: RequestContext): Response | undefined {
    const { maxUrlLength, maxHeaders } = this.#options.limits;
    if (url.length > maxUrlLength) return this.#refuse(414, "max-url-length");
    if (headerCount > maxHeaders) return this.#refuse(431, "max-header-count");
    return undefined;
  }

  #route(request: Request, exchange: RequestContext): Response | Promise<Response> {
    const target = specTargetOf(request);
    if (target !== undefined) return this.#work(exchange, () => this.#specs.ask(request, target));
    const route = () => this.#app.fetch(request, exchange);
    // A request with a body is not worked on before that is there.
    const isWaiting = request.body !== null || isProbe(new URL(request.url).pathname);
    return isWaiting ? route() : this.#work(exchange, route);
  }

  /** What can't be answered from memory at once. */
  async #work(exchange: RequestContext, answer: () => Response | Promise<Response>): Promise<Response> {
    exchange.limitTo(RESPONSE_TIMEOUT_MS);
    using place = this.#options.inFlight.enter();
    return place === undefined ? this.#bodies.busy() : await answer();
  }

  #refuse(status: number, limit: "max-url-length" | "max-header-count"): Response {
    this.#options.emitLimit({ kind: "limit_reached", limit });
    return errorResponse(status);
  }
}

/** What a GET or HEAD asks of the spec endpoints. */
function specTargetOf({ method, url }: RequestHead): SpecTarget | undefined {
  return method === "GET" || method === "HEAD" ? readSpecTarget(url) : undefined;
}

function reportingFaults(answer: Answer, onFault: (error: unknown) => void): Answer {
  return (request, exchange) => {
    const failed = (error: unknown) => {
      if (!request.signal.aborted) onFault(error);
      return errorResponse(500);
    };
    try {
      const answered = answer(request, exchange);
      return answered instanceof Promise ? answered.catch(failed) : answered;
    } catch (error) {
      return failed(error);
    }
  };
}
