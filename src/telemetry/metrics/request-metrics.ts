import type { AnsweredRequest, RequestCell, RequestMeter } from "../../http/request-meter.ts";
import type { KeyTags } from "./key-tags.ts";
import type { MetricRegistry } from "./metric-registry.ts";

/** HTTP requests as measurements. */
export class RequestMetrics implements RequestMeter {
  readonly #registry: MetricRegistry;
  readonly #keys: KeyTags;

  constructor(registry: MetricRegistry, keys: KeyTags) {
    this.#registry = registry;
    this.#keys = keys;
  }

  cell({ sdkKey, path, status, acceptEncoding, contentEncoding }: AnsweredRequest): RequestCell {
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
