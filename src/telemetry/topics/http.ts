import type { HandledRequest, RequestCell, RequestMeter } from "../../http/observer.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { Series } from "../metrics/series.ts";
import type { KeyTags } from "../metrics/tags.ts";

/** HTTP requests as measurements. */
export class RequestMetrics implements RequestMeter {
  readonly #registry: MetricRegistry;
  readonly #keys: KeyTags;

  constructor(registry: MetricRegistry, keys: KeyTags) {
    this.#registry = registry;
    this.#keys = keys;
  }

  cell(answered: HandledRequest): RequestCell {
    return new SeriesCell(() => this.#series(answered));
  }

  #series({ sdkKey, path, status, acceptEncoding, contentEncoding }: HandledRequest): Series {
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

/** Kept with a prepared answer, which may outlive the series: its SDK key was forgotten, and came back. */
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
