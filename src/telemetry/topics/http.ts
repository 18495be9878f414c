import type { EmitHttpEvent, HandledRequest, RequestCell, RequestMeter } from "../../http/observer.ts";
import { debugLine } from "../logging/logger.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { Series } from "../metrics/series.ts";
import type { KeyTags } from "../metrics/tags.ts";
import type { TelemetryOutput } from "../output.ts";

/**
 * Logs and metrics of HTTP requests. They are separate: requests are measured through cells, which are cheap and always on;
 * events are emitted at log level debug only.
 */
export class HttpTelemetry implements RequestMeter {
  readonly emit: EmitHttpEvent;
  readonly #registry: MetricRegistry;
  readonly #keys: KeyTags;

  constructor({ logger, registry, keys, contain }: TelemetryOutput) {
    this.emit = contain((event) => debugLine(logger, { ...event }));
    this.#registry = registry;
    this.#keys = keys;
  }

  cell(request: HandledRequest): RequestCell {
    return new SeriesCell(() => this.#findSeries(request));
  }

  #findSeries({ sdkKey, path, status, acceptEncoding, contentEncoding }: HandledRequest): Series {
    const name = status < 400 ? "HttpServerRequestSuccess" : "HttpServerRequestFailed";
    return this.#registry.series(name, {
      ...this.#keys.of(sdkKey),
      path,
      status_code: String(status),
      "accept-encoding": acceptEncoding,
      "content-encoding": contentEncoding,
    });
  }
}

/** Cached with a prepared response, which can outlive its series: the series of a forgotten SDK key is replaced by a new one. */
class SeriesCell implements RequestCell {
  readonly #find: () => Series;
  #series: Series;

  constructor(find: () => Series) {
    this.#find = find;
    this.#series = find();
  }

  record(tookMs: number): void {
    if (this.#series.isForgotten) this.#series = this.#find();
    this.#series.record(tookMs);
  }
}
