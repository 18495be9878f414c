import { maskSdkKey } from "../../access/sdk-key.ts";
import type { RpcEvent } from "../../grpc/events.ts";
import { type MetricRegistry, OTHER, UNKNOWN_KEY } from "../metrics/registry.ts";
import { toTags } from "../metrics/tags.ts";

const MAX_KEYS_WITHOUT_STREAMS = 1_000;

/** What happens on streams and to unary RPCs, as measurements. */
export class StreamMetrics {
  readonly #registry: MetricRegistry;
  /** By masked SDK key. Told as 0 after its streams ended, so that nobody goes on with an old number. */
  readonly #open = new Map<string, number>();

  constructor(registry: MetricRegistry) {
    this.#registry = registry;
    registry.gauge("GrpcEstimatedActiveStreams", () => this.#readOpen());
  }

  write(event: RpcEvent): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "stream_opened":
        registry.count("GrpcStreamingStreamedInitialized", toTags(event.feed));
        this.#change(maskSdkKey(event.feed.sdkKey), 1);
        return;
      case "stream_sent": {
        const isSpec = event.item === "spec";
        const name = isSpec ? "GrpcStreamingStreamedResponse" : "GrpcStreamingHealthcheckSent";
        registry.count(name, toTags(event.feed));
        return;
      }
      case "stream_closed":
        registry.count("GrpcStreamingStreamDisconnected", toTags(event.feed));
        this.#change(maskSdkKey(event.feed.sdkKey), -1);
        return;
      case "stream_refused":
        registry.count("GrpcStreamRefused", { code: event.code });
        if (event.code === "permission_denied") registry.count("GrpcStreamingStreamUnauthorized", {});
        return;
      case "rpc_answered": {
        const { feed, code, tookMs } = event;
        const tags = feed === undefined ? { sdk_key: UNKNOWN_KEY, path: OTHER } : toTags(feed);
        registry.time("GrpcServerRequest", { ...tags, code }, tookMs);
      }
    }
  }

  #change(maskedSdkKey: string, by: number): void {
    const open = (this.#open.get(maskedSdkKey) ?? 0) + by;
    if (open === 0 && this.#open.size > MAX_KEYS_WITHOUT_STREAMS) this.#open.delete(maskedSdkKey);
    else this.#open.set(maskedSdkKey, open);
  }

  *#readOpen(): Iterable<readonly [{ readonly sdk_key: string }, number]> {
    for (const [sdkKey, open] of this.#open) yield [{ sdk_key: sdkKey }, open];
  }
}
