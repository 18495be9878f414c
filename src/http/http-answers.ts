import type { Hono } from "hono";
import type { EmitLimitEvent } from "../limits/events.ts";
import type { InFlight } from "../limits/in-flight.ts";
import type { EventIntake } from "../log-events/intake.ts";
import type { HeldFeed } from "../specs/held-feed.ts";
import type { SpecQuery } from "../specs/spec-query.ts";
import { createApp } from "./app.ts";
import { BodyBudget } from "./body-budget.ts";
import { type AllowedOrigins, withCors } from "./cors.ts";
import type { EmitHttpEvent } from "./events.ts";
import { ANSWER_TIMEOUT_MS, type Answer, type Exchange, type ExchangeEnv } from "./exchange.ts";
import { fileRoutes } from "./id-list-file.ts";
import { type IdListService, manifestRoutes } from "./id-list-manifest.ts";
import { logEventRoutes } from "./log-event.ts";
import { isProbe, type Probes, probeRoutes } from "./probes.ts";
import { BodyReader } from "./request-body.ts";
import type { RequestMeter } from "./request-meter.ts";
import { RequestObserver } from "./request-observer.ts";
import { RpcMount, type RpcRoutes } from "./rpc-mount.ts";
import { SpecAnswers } from "./spec-answers.ts";
import { specPostRoutes } from "./spec-post.ts";
import { SpecRoute } from "./spec-route.ts";
import { readSpecTarget, type SpecTarget } from "./spec-target.ts";
import { errorResponse, unavailableResponse } from "./status-json.ts";

export interface HttpLimits {
  readonly maxUrlLength: number;
  readonly maxHeaders: number;
  readonly bodyTimeoutMs: number;
}

export interface HttpAnswersOptions {
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
  /** Undefined where nobody watches single requests. */
  readonly emit: EmitHttpEvent | undefined;
}

/** The largest body of any route but log_event's, which may be set to take more. */
const MAX_BODY_BYTES = 5 * 1024 * 1024;

/** Bodies of all requests together that are in memory at one time. */
const MAX_BODIES_BYTES = 128 * 1024 * 1024;

const BUSY_RETRY_AFTER_MS = 1_000;

/** What is answered over HTTP, whatever listener the request came by: REST, and the RPCs over Connect. */
export class HttpAnswers {
  readonly answer: Answer;
  readonly maxBodyBytes: number;
  readonly #options: HttpAnswersOptions;
  readonly #rpcs: RpcMount;
  readonly #specAnswers: SpecAnswers;
  readonly #specs: SpecRoute;
  readonly #app: Hono<ExchangeEnv>;
  readonly #observer: RequestObserver;

  constructor(options: HttpAnswersOptions) {
    this.#options = options;
    this.#specAnswers = new SpecAnswers(options.meter);
    this.#specs = new SpecRoute(options.query, this.#specAnswers);
    const budget = new BodyBudget(MAX_BODIES_BYTES);
    this.maxBodyBytes = Math.max(MAX_BODY_BYTES, options.intake.maxBodyBytes);
    const bodies = new BodyReader({
      timeoutMs: options.limits.bodyTimeoutMs,
      maxBytes: this.maxBodyBytes,
      budget,
      emit: options.emitLimit,
    });
    this.#rpcs = new RpcMount(options.routes, bodies);
    this.#app = this.#createApp(options, bodies);
    const { meter, emit } = options;
    this.#observer = new RequestObserver({ meter, app: this.#app, emit });
    this.answer = withCors(
      (request: Request, exchange: Exchange) => this.#answer(request, exchange),
      options.corsOrigins,
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

  #createApp({ probes, idLists, intake }: HttpAnswersOptions, bodies: BodyReader): Hono<ExchangeEnv> {
    const { proxied } = idLists;
    const parts = [
      probeRoutes(probes),
      specPostRoutes(this.#specs, bodies),
      manifestRoutes(idLists, bodies),
      ...(proxied === undefined ? [] : [fileRoutes(proxied)]),
      logEventRoutes(intake, bodies),
      this.#rpcs.app,
    ];
    return createApp(parts, { "/:version{v[12]}/download_config_specs/:key?": ["GET", "HEAD"] });
  }

  #answer(request: Request, exchange: Exchange): Response | Promise<Response> {
    const startedAt = performance.now();
    const refusal = this.#refusal(request);
    if (refusal !== undefined) return this.#observer.work(request, startedAt, refusal);
    const { url, method } = request;
    const target = method === "GET" || method === "HEAD" ? readSpecTarget(url) : undefined;
    const held = target && this.#specs.held(request, target);
    if (held === undefined)
      return this.#observer.work(request, startedAt, this.#route(request, exchange, target));
    const response = held.prepared.response();
    this.#observer.held(request, held, startedAt);
    return response;
  }

  #refusal({ url, headers }: Request): Response | undefined {
    const { maxUrlLength, maxHeaders } = this.#options.limits;
    if (url.length > maxUrlLength) return this.#refuse(414, "max-url-length");
    if (headers.count > maxHeaders) return this.#refuse(431, "max-header-count");
    return undefined;
  }

  #route(request: Request, exchange: Exchange, target: SpecTarget | undefined): Response | Promise<Response> {
    const { url } = request;
    // RFC 9112, 3.2; Bun joins them. What is held is answered before this, since it is the same whoever asks.
    if (request.headers.get("host")?.includes(",")) return errorResponse(400);
    if (target !== undefined) return this.#work(exchange, () => this.#specs.ask(request, target));
    // HTTP/1.0 needs no Host, and probes of load balancers send none.
    const absolute = url.startsWith("/") ? new Request(`http://localhost${url}`, request) : request;
    const route = () => this.#app.fetch(absolute, exchange);
    return isProbe(new URL(absolute.url).pathname) ? route() : this.#work(exchange, route);
  }

  /** What can't be answered from memory at once. */
  async #work(exchange: Exchange, answer: () => Response | Promise<Response>): Promise<Response> {
    exchange.limitTo(ANSWER_TIMEOUT_MS);
    using place = this.#options.inFlight.enter();
    return place === undefined ? unavailableResponse(BUSY_RETRY_AFTER_MS) : await answer();
  }

  #refuse(status: number, limit: "max-url-length" | "max-header-count"): Response {
    this.#options.emitLimit({ kind: "limit_reached", limit });
    return errorResponse(status);
  }
}
