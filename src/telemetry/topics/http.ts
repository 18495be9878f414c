import type { EmitHttpEvent, HandledRequest, RequestCell, RequestMeter } from "../../http/observer.ts";
import { debugLine } from "../logging/logger.ts";
import { ClientTagReader, type ClientTags, OTHER_CLIENT } from "../metrics/client-tags.ts";
import { type MetricRegistry, UNKNOWN_KEY } from "../metrics/registry.ts";
import type { Measured, Series, Tags } from "../metrics/series.ts";
import type { KeyTags } from "../metrics/tags.ts";
import type { TelemetryOutput } from "../output.ts";

/** Requests with the same attributes that another thread handled, as plain data. */
export interface CountedRequests {
  readonly request: HandledRequest;
  readonly measured: Measured;
  /** The same requests by client; empty if nothing is pushed. */
  readonly byClient: readonly CountedClient[];
}

interface CountedClient {
  readonly client: ClientTags;
  readonly measured: Measured;
}

/**
 * Logs and metrics of HTTP requests. They are separate: requests are measured through cells, which are cheap and always on;
 * events are emitted at log level debug only.
 */
export class HttpTelemetry implements RequestMeter {
  readonly emit: EmitHttpEvent;
  readonly #merge: (counted: CountedRequests) => void;
  readonly #registry: MetricRegistry;
  readonly #keys: KeyTags;
  readonly #clients: ClientTagReader;

  constructor({ logger, registry, keys, contain }: TelemetryOutput) {
    this.emit = contain((event) => debugLine(logger, { ...event }));
    this.#merge = contain((counted) => this.#add(counted));
    this.#registry = registry;
    this.#keys = keys;
    this.#clients = new ClientTagReader(registry.maxSeries / 2);
  }

  cell(request: HandledRequest): RequestCell {
    const cell = new SeriesCell(() => this.#findSeries(request));
    return this.#registry.isPushing ? this.#withClients(cell, request) : cell;
  }

  /** Adds what another thread counted. Never throws. */
  merge(all: readonly CountedRequests[]): void {
    for (const counted of all) this.#merge(counted);
  }

  #add({ request, measured, byClient }: CountedRequests): void {
    this.#findSeries(request).merge(measured);
    if (byClient.length === 0) return;
    const isKnown = this.#isKnown(request);
    for (const { client, measured: ofClient } of byClient) {
      const series = this.#findClientSeries(request, isKnown ? this.#clients.admit(client) : OTHER_CLIENT);
      series.merge(ofClient);
      series.latest = toLatest(request);
    }
  }

  #isKnown(request: HandledRequest): boolean {
    return this.#toTags(request).sdk_key !== UNKNOWN_KEY;
  }

  /** Clients without a known SDK key have no tags: they could fill the list of known clients. */
  #withClients(cell: RequestCell, request: HandledRequest): RequestCell {
    const isKnown = this.#isKnown(request);
    const byClient = new Map<ClientTags, SeriesCell>();
    const latest = toLatest(request);
    return {
      record: (tookMs, headers) => {
        cell.record(tookMs, headers);
        const client = isKnown ? this.#clients.read(headers) : OTHER_CLIENT;
        let pushed = byClient.get(client);
        if (pushed === undefined) {
          pushed = new SeriesCell(() => this.#findClientSeries(request, client), latest);
          byClient.set(client, pushed);
        }
        pushed.record(tookMs);
      },
    };
  }

  #findSeries(request: HandledRequest): Series {
    return this.#registry.series(toMetric(request), this.#toTags(request));
  }

  #findClientSeries(request: HandledRequest, client: ClientTags): Series {
    const { payloadType } = request;
    const tags = { ...this.#toTags(request), ...client, response_payload_type: payloadType ?? "" };
    return this.#registry.clientSeries(toMetric(request), tags);
  }

  #toTags({ sdkKey, path, status, acceptEncoding, contentEncoding }: HandledRequest) {
    return {
      ...this.#keys.of(sdkKey),
      path,
      status_code: String(status),
      "accept-encoding": acceptEncoding,
      "content-encoding": contentEncoding,
    };
  }
}

function toMetric({ status }: HandledRequest) {
  return status < 400 ? "HttpServerRequestSuccess" : "HttpServerRequestFailed";
}

function toLatest({ lcut }: HandledRequest): Tags {
  return { lcut: String(lcut) };
}

/** Cached with a prepared response, which can outlive its series: the series of a forgotten SDK key is replaced by a new one. */
class SeriesCell implements RequestCell {
  readonly #find: () => Series;
  readonly #latest: Tags | undefined;
  #series: Series;

  constructor(find: () => Series, latest?: Tags) {
    this.#find = find;
    this.#latest = latest;
    this.#series = find();
  }

  record(tookMs: number): void {
    if (this.#series.isForgotten) this.#series = this.#find();
    this.#series.record(tookMs);
    if (this.#latest !== undefined) this.#series.latest = this.#latest;
  }
}
