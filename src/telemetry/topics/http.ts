import type { EmitHttpEvent, HandledRequest } from "../../http/observer.ts";
import { debugLine } from "../logging/logger.ts";
import { ClientTagReader, type ClientTags, OTHER_CLIENT } from "../metrics/client-tags.ts";
import { type MetricRegistry, UNKNOWN_KEY } from "../metrics/registry.ts";
import type { Measured, Series } from "../metrics/series.ts";
import type { KeyTags } from "../metrics/tags.ts";
import type { TelemetryOutput } from "../output.ts";
import { SdkTable } from "../status/sdks.ts";
import type { Transfer } from "../status/transfer.ts";

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
 * Logs and metrics of HTTP requests. They are separate: the serving threads always count requests; events are emitted at log
 * level debug only.
 */
export class HttpTelemetry {
  readonly emit: EmitHttpEvent;
  readonly sdks: SdkTable;
  readonly transfer: Transfer;
  readonly #merge: (counted: CountedRequests) => void;
  readonly #registry: MetricRegistry;
  readonly #keys: KeyTags;
  readonly #clients: ClientTagReader;

  constructor({ logger, registry, keys, clock, contain }: TelemetryOutput, transfer: Transfer) {
    this.emit = contain((event) => debugLine(logger, { ...event }));
    this.#merge = contain((counted) => this.#add(counted));
    this.#registry = registry;
    this.sdks = new SdkTable(clock);
    this.transfer = transfer;
    this.#keys = keys;
    this.#clients = new ClientTagReader(registry.maxSeries / 2);
  }

  /** Adds what another thread counted. Never throws. */
  merge(all: readonly CountedRequests[]): void {
    for (const counted of all) this.#merge(counted);
  }

  #add({ request, measured, byClient }: CountedRequests): void {
    this.#findSeries(request).merge(measured);
    this.#addDelta(request, measured);
    this.transfer.served(measured.count * request.specBytes);
    if (byClient.length === 0) return;
    // Clients without a known SDK key have no tags: they could fill the list of known clients.
    const isKnown = this.#toTags(request).sdk_key !== UNKNOWN_KEY;
    for (const { client, measured: ofClient } of byClient) {
      const series = this.#findClientSeries(request, isKnown ? this.#clients.admit(client) : OTHER_CLIENT);
      series.merge(ofClient);
      series.latest = { lcut: String(request.lcut) };
    }
  }

  #addDelta({ delta }: HandledRequest, { count }: Measured): void {
    if (delta === undefined) return;
    this.#registry.count("DeltaResponse", { result: delta.result }, count);
    this.#registry.count("DeltaSavedBytes", {}, count * delta.savedBytes);
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
