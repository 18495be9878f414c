import { expect } from "bun:test";
import type { StatusReport } from "../../../src/telemetry/status/schema.ts";
import { rawGet } from "../clients/raw-get.ts";
import { freePort } from "../common/free-port.ts";
import { padTo } from "../common/padding.ts";
import { eventually } from "../common/wait.ts";
import { type ReloadedRelay, startReloadedRelay } from "../relay/reloaded-relay.ts";
import { THREAD_COMMANDS_ENV } from "../serving/thread-commands.ts";
import { readMetrics, sumOf } from "../telemetry/metrics-page.ts";
import { specV1, specV2 } from "../upstream/payloads.ts";
import { FIRST_LCUT } from "../upstream/published-key.ts";
import { startUpstream, type Upstream } from "../upstream/upstream.ts";
import { KEYS } from "./client-actions.ts";

const NOTHING_OPEN = {
  streams: 0,
  ofFeeds: [],
  inFlight: 0,
  gauges: [],
  missingThreads: 0,
  inFlightGauge: 0,
};

/** How many of each kind: those that are left serve while another is replaced. */
const THREADS = 3;

/** Much more than a client with the usual windows has room for. */
const LARGE_BYTES = 300_000;

/** A relay whose limit of streams can be changed, and what it says of open streams. */
export class CountedRelay implements AsyncDisposable {
  readonly #upstream: Upstream;
  readonly #reloaded: ReloadedRelay;
  readonly #settings: Readonly<Record<string, unknown>>;
  #versions = 0;

  private constructor(
    upstream: Upstream,
    reloaded: ReloadedRelay,
    settings: Readonly<Record<string, unknown>>,
  ) {
    this.#upstream = upstream;
    this.#reloaded = reloaded;
    this.#settings = settings;
  }

  /** Its clients see upstream's changes within a second. */
  static async start(maxStreams: number): Promise<CountedRelay> {
    await using starting = new AsyncDisposableStack();
    const upstream = starting.use(await startUpstream());
    const settings = {
      "polling-interval-in-s": 1,
      "serving-threads": THREADS,
      "clear-datastore-on-unauthorized": true,
      "unknown-key-rate-per-s": 10_000,
      "http2-max-resets-per-min": 1_000_000,
      "http2-max-concurrent-streams": 1_000,
    };
    const first = { ...settings, "grpc-max-concurrent-streams": maxStreams };
    const args = ["--management-port", String(await freePort())];
    const reloaded = starting.use(await startReloadedRelay(upstream, first, args, THREAD_COMMANDS_ENV));
    const counted = new CountedRelay(upstream, reloaded, settings);
    for (const key of KEYS.slice(0, -1)) counted.publish(key);
    const owned = starting.move();
    counted[Symbol.asyncDispose] = () => owned.disposeAsync();
    return counted;
  }

  get httpUrl(): string {
    return this.#reloaded.relay.httpUrl;
  }

  get grpcUrl(): string {
    return this.#reloaded.relay.grpcUrl;
  }

  publish(sdkKey: string): void {
    const options = { sdkKey, lcut: FIRST_LCUT + 1_000 * this.#versions++ };
    const bytes = sdkKey.includes("large") ? LARGE_BYTES : 2_000;
    this.#upstream.publish(sdkKey, "v1", padTo(specV1(options), bytes), options.lcut);
    this.#upstream.publish(sdkKey, "v2", padTo(specV2(options), bytes), options.lcut);
  }

  revoke(sdkKey: string): void {
    this.#upstream.forget(sdkKey);
  }

  async setMaxStreams(max: number): Promise<void> {
    await this.#reloaded.reload({ ...this.#settings, "grpc-max-concurrent-streams": max });
  }

  /** Waits until nothing counts as open or in flight, in the metrics and on the status page, and every thread runs. */
  async expectNothingOpen(): Promise<void> {
    await eventually(
      async () => {
        const { traffic, feeds, relay } = await this.#status();
        const samples = await readMetrics(this.#reloaded.relay);
        const streams = samples.filter(({ name }) => name.endsWith("_GrpcEstimatedActiveStreams_gauge"));
        expect({
          streams: traffic.streams,
          ofFeeds: feeds.filter((feed) => feed.streams !== 0),
          inFlight: traffic.in_flight,
          gauges: streams.filter(({ value }) => value !== 0),
          missingThreads: relay.serving_threads.wanted - relay.serving_threads.running,
          inFlightGauge: sumOf(samples, "RequestsInFlight_gauge"),
        }).toEqual(NOTHING_OPEN);
      },
      { withinMs: 30_000, everyMs: 100 },
    );
  }

  async #status(): Promise<StatusReport> {
    const { body } = await rawGet(`${this.#reloaded.relay.urlOf("management")}/status.json`);
    return JSON.parse(body.toString()) as StatusReport;
  }

  /** Set by {@link start}. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
