import { maskSdkKey } from "../../access/sdk-key.ts";
import type { EmitRpcEvent, RpcEvent } from "../../grpc/events.ts";
import type { Feed } from "../../specs/feed.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { ThrottledLog } from "../logging/throttled-log.ts";
import { type MetricRegistry, OTHER, UNKNOWN_KEY } from "../metrics/registry.ts";
import type { Measured } from "../metrics/series.ts";
import { toTags } from "../metrics/tags.ts";
import type { TelemetryOutput } from "../output.ts";

const MAX_KEYS_WITHOUT_STREAMS = 1_000;

/** Events of the same kind that a serving thread counted. */
export type CountedRpcs =
  | {
      readonly kind: "streams_sent";
      readonly feed: Feed;
      readonly item: "spec" | "no_update";
      readonly count: number;
    }
  | {
      readonly kind: "rpcs_answered";
      /** As in {@link RpcEvent}. */
      readonly feed: Feed | undefined;
      readonly code: string;
      readonly measured: Measured;
    };

function toRpcTags(feed: Feed | undefined) {
  return feed === undefined ? { sdk_key: UNKNOWN_KEY, path: OTHER } : toTags(feed);
}

/** Logs and metrics of gRPC streams and unary RPCs. */
export class RpcTelemetry {
  readonly emit: EmitRpcEvent;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #refusals: ThrottledLog;
  /**
   * Open streams by masked SDK key. A key whose streams have ended is reported as 0, so that a monitoring system does not
   * keep its last value.
   */
  readonly #open = new Map<string, number>();

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#registry = registry;
    this.#refusals = new ThrottledLog(logger, clock);
    registry.gauge("GrpcEstimatedActiveStreams", () => this.#readOpen());
  }

  /** Adds what a serving thread counted. */
  merge(counted: CountedRpcs): void {
    switch (counted.kind) {
      case "streams_sent":
        this.#countSent(counted.feed, counted.item, counted.count);
        return;
      case "rpcs_answered": {
        const tags = { ...toRpcTags(counted.feed), code: counted.code };
        this.#registry.series("GrpcServerRequest", tags).merge(counted.measured);
      }
    }
  }

  #countSent(feed: Feed, item: "spec" | "no_update", count: number): void {
    const name = item === "spec" ? "GrpcStreamingStreamedResponse" : "GrpcStreamingHealthcheckSent";
    this.#registry.count(name, toTags(feed), count);
  }

  #record(event: RpcEvent): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "stream_opened":
        registry.count("GrpcStreamingStreamedInitialized", toTags(event.feed));
        this.#addOpen(maskSdkKey(event.feed.sdkKey), 1);
        break;
      case "stream_sent":
        this.#countSent(event.feed, event.item, 1);
        break;
      case "stream_closed":
        registry.count("GrpcStreamingStreamDisconnected", toTags(event.feed));
        this.#addOpen(maskSdkKey(event.feed.sdkKey), -1);
        break;
      case "stream_refused": {
        registry.count("GrpcStreamRefused", { code: event.code });
        if (event.code === "permission_denied") registry.count("GrpcStreamingStreamUnauthorized", {});
        if (!event.isFull) break;
        const option = "--grpc-max-concurrent-streams";
        this.#refusals.log("warn", "stream rejected: limit of open streams reached", { option });
        return;
      }
      case "rpc_answered": {
        const { feed, code, tookMs } = event;
        registry.time("GrpcServerRequest", { ...toRpcTags(feed), code }, tookMs);
      }
    }
    debugLine(this.#logger, event);
  }

  #addOpen(maskedSdkKey: string, by: number): void {
    const open = (this.#open.get(maskedSdkKey) ?? 0) + by;
    if (open === 0 && this.#open.size > MAX_KEYS_WITHOUT_STREAMS) this.#open.delete(maskedSdkKey);
    else this.#open.set(maskedSdkKey, open);
  }

  *#readOpen(): Iterable<readonly [{ readonly sdk_key: string }, number]> {
    for (const [sdkKey, open] of this.#open) yield [{ sdk_key: sdkKey }, open];
  }
}
