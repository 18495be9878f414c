import type { Hono } from "hono";
import { parseSdkKey, type SdkKey } from "../access/sdk-key.ts";
import type { RequestEnv } from "./exchange.ts";
import type { RequestHead } from "./http1/exchange.ts";
import type { RequestMeter } from "./meter.ts";
import { CodingNegotiation } from "./negotiation.ts";
import { type CachedResponse, readSpecTarget } from "./routes/specs.ts";

interface RequestObserverOptions {
  readonly meter: RequestMeter;
  /** Knows all routes but those of specs. */
  readonly app: Hono<RequestEnv>;
  /** Undefined where nobody watches single requests. */
  readonly emit: EmitHttpEvent | undefined;
}

/** Counts what was answered over HTTP, and tells of each where somebody watches. */
export class RequestObserver {
  readonly #options: RequestObserverOptions;
  #emit: EmitHttpEvent | undefined;
  readonly #routes: ReadonlySet<string>;
  readonly #negotiation = new CodingNegotiation();

  constructor(options: RequestObserverOptions) {
    this.#options = options;
    this.#emit = options.emit;
    this.#routes = new Set(options.app.routes.map(({ path }) => path));
  }

  /** From now on this one watches single requests; undefined: nobody. */
  watch(emit: EmitHttpEvent | undefined): void {
    this.#emit = emit;
  }

  /** On the path of every request. `startedAt` is of `performance.now()`. */
  held({ method, url }: RequestHead, { prepared, accepted }: CachedResponse, startedAt: number): void {
    const tookMs = performance.now() - startedAt;
    prepared.cell(accepted).record(tookMs);
    const emit = this.#emit;
    if (emit === undefined) return;
    const { status } = prepared;
    emit({ kind: "http_request", method, route: this.#routeOf(url), status, tookMs });
  }

  async work(request: Request, startedAt: number, answer: Promise<Response> | Response): Promise<Response> {
    const response = await answer;
    this.#answered(request, response, performance.now() - startedAt);
    return response;
  }

  #answered({ method, url, headers }: Request, response: Response, tookMs: number): void {
    const { meter } = this.#options;
    const { status } = response;
    const route = this.#routeOf(url);
    const cell = meter.cell({
      sdkKey: sdkKeyOf(url, headers),
      path: route,
      status,
      acceptEncoding: this.#negotiation.read(headers.get("accept-encoding")).label,
      contentEncoding: response.headers.get("content-encoding") ?? "identity",
    });
    cell.record(tookMs);
    this.#emit?.({ kind: "http_request", method, route, status, tookMs });
  }

  /** From the route table: what clients make up must not fill logs and metrics, and may be an SDK key. */
  #routeOf(url: string): string {
    const target = readSpecTarget(url);
    if (target !== undefined) return `/${target.version}/download_config_specs`;
    const { pathname } = new URL(url, "http://localhost");
    return this.#routes.has(pathname) ? pathname : "other";
  }
}

function sdkKeyOf(url: string, headers: Headers): SdkKey | undefined {
  return parseSdkKey(headers.get("statsig-api-key") || (readSpecTarget(url)?.pathKey ?? ""));
}

/** One HTTP request that was answered. */
interface HttpEvent {
  readonly kind: "http_request";
  readonly method: string;
  /** From the route table, never from the request. */
  readonly route: string;
  readonly status: number;
  readonly tookMs: number;
}

export type EmitHttpEvent = (event: HttpEvent) => void;
