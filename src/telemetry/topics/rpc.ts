import { maskSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import type { EmitRpcEvent, RpcEvent } from "../../grpc/events.ts";
import type { Clock } from "../../platform/clock.ts";
import { describeFeed, type Feed } from "../../specs/feed.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { ThrottledLog } from "../logging/throttled-log.ts";
import { type MetricRegistry, OTHER, UNKNOWN_KEY } from "../metrics/registry.ts";
import type { Measured, Series } from "../metrics/series.ts";
import { toTags } from "../metrics/tags.ts";
import type { TelemetryOutput } from "../output.ts";
import { OversizedFeeds } from "../status/oversized-feeds.ts";
import type { Transfer } from "../status/transfer.ts";

const MAX_KEYS_WITHOUT_STREAMS = 1_000;

/** How long the 0 of a removed key is reported: several times the interval at which sinks export by default. */
const REPORTED_AS_0_FOR_MS = 10 * 60_000;

/** Each feed is worth a line, unless sizes go up and down all the time. */
const OVERSIZED_PER_MIN = 60;

/** Unary RPCs with the same attributes that another thread answered, as plain data. */
export interface CountedRpcs extends Pick<RpcAnswered, "feed" | "code"> {
  /** The length of all versions that the clients got. */
  readonly bytes: number;
  readonly measured: Measured;
}

type RpcAnswered = Extract<RpcEvent, { kind: "rpc_answered" }>;

/** Logs and metrics of streams over any protocol, and of unary RPCs. */
export class RpcTelemetry {
  readonly emit: EmitRpcEvent;
  readonly oversized: OversizedFeeds;
  readonly #merge: (counted: CountedRpcs) => void;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #refusals: ThrottledLog;
  readonly #oversizedLog: ThrottledLog;
  /**
   * Open streams by masked SDK key. A key whose streams have ended is reported as 0, so that a monitoring system does not
   * keep its last value.
   */
  readonly #open = new Map<string, number>();
  /** When masked SDK keys were removed that had streams, in ms on the monotonic clock. */
  readonly #removedAt = new Map<string, number>();
  readonly #clock: Clock;
  readonly #transfer: Transfer;

  constructor({ logger, registry, clock, contain }: TelemetryOutput, transfer: Transfer) {
    this.emit = contain((event) => this.#record(event));
    this.#merge = contain(({ feed, code, bytes, measured }) => {
      this.#findAnswered(feed, code).merge(measured);
      transfer.served(bytes);
    });
    this.#transfer = transfer;
    this.#clock = clock;
    this.#logger = logger;
    this.#registry = registry;
    this.#refusals = new ThrottledLog(logger, clock);
    this.#oversizedLog = new ThrottledLog(logger, clock, OVERSIZED_PER_MIN);
    this.oversized = new OversizedFeeds(clock);
    registry.gauge("GrpcFeedsTooLarge", () => [[{}, this.oversized.list().length]]);
    registry.gauge("GrpcEstimatedActiveStreams", () => this.#readOpen());
  }

  /** Adds what another thread counted. Never throws. */
  merge(all: readonly CountedRpcs[]): void {
    for (const counted of all) this.#merge(counted);
  }

  /** The feed has another version, or is not cached any more. */
  feedChanged(feed: Feed): void {
    if (this.oversized.update(feed)) this.#logFits(feed);
  }

  /** The limit of messages has changed. */
  messageLimitChanged(): void {
    for (const feed of this.oversized.updateAll()) this.#logFits(feed);
  }

  /** The SDK key is not cached any more. */
  keyRemoved(sdkKey: SdkKey): void {
    const masked = maskSdkKey(sdkKey);
    if (this.#open.has(masked)) this.#removedAt.set(masked, this.#clock.elapsed());
  }

  #logFits(feed: Feed): void {
    const fields = { feed: describeFeed(feed) };
    this.#oversizedLog.log("info", "config spec no longer too large for gRPC clients", fields);
  }

  #record(event: RpcEvent): void {
    const registry = this.#registry;
    switch (event.kind) {
      case "stream_opened":
        registry.count("GrpcStreamingStreamedInitialized", toTags(event.feed), event.count);
        this.#addOpen(maskSdkKey(event.feed.sdkKey), event.count ?? 1);
        break;
      case "stream_sent": {
        const isSpec = event.item === "spec";
        const name = isSpec ? "GrpcStreamingStreamedResponse" : "GrpcStreamingHealthcheckSent";
        registry.count(name, toTags(event.feed), event.count);
        this.#transfer.served((event.count ?? 1) * event.bytes);
        break;
      }
      case "stream_closed":
        registry.count("GrpcStreamingStreamDisconnected", toTags(event.feed), event.count);
        this.#addOpen(maskSdkKey(event.feed.sdkKey), -(event.count ?? 1));
        break;
      case "stream_refused": {
        const { code, isFull, count } = event;
        registry.count("GrpcStreamRefused", { code }, count);
        if (code === "permission_denied") registry.count("GrpcStreamingStreamUnauthorized", {}, count);
        if (!isFull) break;
        const option = "--grpc-max-concurrent-streams";
        this.#refusals.log("warn", "stream rejected: limit of open streams reached", { option, count });
        return;
      }
      case "spec_too_large": {
        const { feed, bytes } = event;
        if (!this.oversized.add(feed, bytes)) break;
        const option = "--grpc-max-message-size-in-mb";
        const detail = "SDKs accept at most 4 MiB: let them poll over HTTP";
        const fields = { feed: describeFeed(feed), bytes, option, detail };
        this.#oversizedLog.log("warn", "config spec too large for gRPC clients, refusing them", fields);
        return;
      }
      case "rpc_answered":
        this.#findAnswered(event.feed, event.code).record(event.tookMs);
        this.#transfer.served(event.bytes);
    }
    debugLine(this.#logger, event);
  }

  #findAnswered(feed: Feed | undefined, code: string): Series {
    const tags = feed === undefined ? { sdk_key: UNKNOWN_KEY, path: OTHER } : toTags(feed);
    return this.#registry.series("GrpcServerRequest", { ...tags, code });
  }

  #addOpen(maskedSdkKey: string, by: number): void {
    const open = (this.#open.get(maskedSdkKey) ?? 0) + by;
    if (by > 0) this.#removedAt.delete(maskedSdkKey);
    if (open === 0 && this.#open.size > MAX_KEYS_WITHOUT_STREAMS) this.#drop(maskedSdkKey);
    else this.#open.set(maskedSdkKey, open);
  }

  #drop(maskedSdkKey: string): void {
    this.#open.delete(maskedSdkKey);
    this.#removedAt.delete(maskedSdkKey);
  }

  *#readOpen(): Iterable<readonly [{ readonly sdk_key: string }, number]> {
    const endedBefore = this.#clock.elapsed() - REPORTED_AS_0_FOR_MS;
    for (const [sdkKey, open] of this.#open) {
      if (open === 0 && (this.#removedAt.get(sdkKey) ?? endedBefore) < endedBefore) this.#drop(sdkKey);
      else yield [{ sdk_key: sdkKey }, open];
    }
  }
}
