import { parseSdkKey, type SdkKey } from "../access/sdk-key.ts";
import { CodingNegotiation } from "./negotiation.ts";
import type { RequestHead } from "./request-context.ts";

/** The headers of a request. */
export type RequestHeaders = RequestHead["headers"];

/** The attributes by which handled requests are counted. */
export interface HandledRequest {
  /** As named by the request. It is the only attribute that clients can make up, so the meter bounds its values. */
  readonly sdkKey: SdkKey | undefined;
  /** A path of the route table, never the path of the request. */
  readonly path: string;
  readonly status: number;
  /** The codings that the relay knows, as `gzip+br`, or `none`. */
  readonly acceptEncoding: string;
  readonly contentEncoding: string;
  /** Version of the config specs that the response is about; 0 if it is about none. */
  readonly lcut: number;
  /** What a successful response to a request for config specs has. Undefined for other responses. */
  readonly payloadType: PayloadType | undefined;
  /** The length of the config specs or delta in the response, as sent; 0 if it has none. */
  readonly specBytes: number;
  /** How a client that accepts deltas got a new version. Undefined for other requests. */
  readonly delta: DeltaUse | undefined;
}

export interface DeltaUse {
  readonly result: "delta" | "full";
  /** The length of the whole version less that of the body that was sent. */
  readonly savedBytes: number;
}

type PayloadType = "full" | "no_update" | "delta" | "delta_no_update";

const SPEC_PATH = /^\/v[12]\/download_config_specs/;

/** Reads what a response has from its headers, which are the original proxy's. */
export function readPayloadType(path: string, status: number, headers: Headers): PayloadType | undefined {
  if (!SPEC_PATH.test(path) || status >= 400) return undefined;
  const isNoUpdate = status === 304 || headers.get("x-cache-hit") === "true";
  if (headers.get("x-deltas-used") === "true") return isNoUpdate ? "delta_no_update" : "delta";
  return isNoUpdate ? "no_update" : "full";
}

/** Counts requests that have the same attributes. */
export interface RequestCell {
  /** `headers` are those of the request, which say what kind of client sent it. */
  record(tookMs: number, headers: RequestHeaders): void;
}

export interface RequestMeter {
  /** Returns the cell for these attributes. Callers keep it where the same attributes are frequent. */
  cell(request: HandledRequest): RequestCell;
}

/** An HTTP request was handled. */
export interface HttpEvent {
  readonly kind: "http_request";
  readonly method: string;
  /** A path of the route table, or `other`; never the path of the request. */
  readonly route: string;
  readonly status: number;
  readonly tookMs: number;
  /** Number of earlier requests whose events were left out, since too many came at once. */
  readonly notShownBefore?: number;
}

export type EmitHttpEvent = (event: HttpEvent) => void;

/** The request that is being observed. */
interface Observed {
  readonly method: string;
  readonly route: string;
  /** From `performance.now()`. */
  readonly startedAt: number;
}

/** Counts every HTTP request, and emits an event for each while there is a listener. */
export class RequestObserver {
  readonly #meter: RequestMeter;
  readonly #negotiation = new CodingNegotiation();
  #emit: EmitHttpEvent | undefined;

  constructor(meter: RequestMeter, emit: EmitHttpEvent | undefined) {
    this.#meter = meter;
    this.#emit = emit;
  }

  /** Replaces the listener of per-request events. Undefined turns them off. */
  setListener(emit: EmitHttpEvent | undefined): void {
    this.#emit = emit;
  }

  /** Records a response from the cache. This is on the hot path. */
  observeCached(
    { method, route, startedAt }: Observed,
    headers: RequestHeaders,
    status: number,
    cell: RequestCell,
  ): void {
    const tookMs = performance.now() - startedAt;
    cell.record(tookMs, headers);
    this.#emit?.({ kind: "http_request", method, route, status, tookMs });
  }

  /** Records any other response once it is there, and resolves with it. `key` is the request's SDK key, not yet checked. */
  async observe(
    { method, route, startedAt }: Observed,
    request: RequestHead,
    key: string,
    pending: Response | Promise<Response>,
  ): Promise<Response> {
    const response = await pending;
    const tookMs = performance.now() - startedAt;
    const { status } = response;
    const payloadType = readPayloadType(route, status, response.headers);
    const hasSpecs = payloadType === "full" || payloadType === "delta";
    const cell = this.#meter.cell({
      sdkKey: parseSdkKey(key),
      path: route,
      status,
      acceptEncoding: this.#negotiation.read(request.headers.get("accept-encoding")).label,
      contentEncoding: response.headers.get("content-encoding") ?? "identity",
      lcut: Number(response.headers.get("x-since-time") ?? 0),
      payloadType,
      specBytes: hasSpecs ? Number(response.headers.get("content-length") ?? 0) : 0,
      // A version that had to be fetched has no delta for the client, with rare exceptions.
      delta: undefined,
    });
    cell.record(tookMs, request.headers);
    this.#emit?.({ kind: "http_request", method, route, status, tookMs });
    return response;
  }
}
