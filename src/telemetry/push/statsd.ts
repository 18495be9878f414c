import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../platform/clock.ts";
import type { Tags } from "../metrics/series.ts";
import type { Measurement, PushSink } from "./measurement.ts";
import { DatagramSender, type DatagramSocket, openUdp, openUnix } from "./statsd-socket.ts";

/** The address that lines are sent to. */
export type StatsdPlace =
  | { readonly kind: "udp"; readonly host: string; readonly port: number }
  /** A Unix datagram socket. */
  | { readonly kind: "unix"; readonly path: string };

/** How metrics are sent to StatsD or to the Datadog agent. */
export interface StatsdOptions {
  /** Datadog receives latencies as distributions, StatsD as timings. */
  readonly sink: "statsd" | "datadog";
  readonly place: StatsdPlace;
  /** Added to every line. */
  readonly tags: Readonly<Record<string, string>>;
  readonly maxDatagramBytes: number;
  /** Number of lines that are formatted and sent before the event loop gets a turn. */
  readonly maxLinesAtOnce: number;
  /** Retries of one datagram. */
  readonly maxRetries: number;
  /** Delay before the first retry; doubled for each further one. */
  readonly retryDelayMs: number;
}

/** Formatting lines blocks requests for no longer than this. */
const MAX_TURN_MS = 1;

/** Sends metrics to StatsD or to the Datadog agent, many lines per datagram. */
export class StatsdSink implements PushSink {
  readonly name: StatsdOptions["sink"];
  readonly #options: StatsdOptions;
  readonly #clock: Clock;

  constructor(options: StatsdOptions, clock: Clock) {
    this.name = options.sink;
    this.#options = options;
    this.#clock = clock;
  }

  async send(measurements: readonly Measurement[], signal: AbortSignal): Promise<void> {
    const { place, maxDatagramBytes, maxLinesAtOnce } = this.#options;
    // One connection per batch: agents are replaced, and their addresses change.
    using sender = new DatagramSender({
      ...this.#options,
      open: () => open(place),
      clock: this.#clock,
      signal,
    });
    const datagram = new DatagramBuffer(maxDatagramBytes);
    let lines = 0;
    let turnEndsAt = this.#turnEndsAt();
    for (const line of formatLines(measurements, this.#options)) {
      if (!datagram.hasRoomFor(line)) await sender.send(datagram.take());
      datagram.add(line);
      if (++lines % maxLinesAtOnce === 0) await sender.send(datagram.take());
      else if (this.#clock.elapsed() < turnEndsAt) continue;
      await nextTurn();
      signal.throwIfAborted();
      turnEndsAt = this.#turnEndsAt();
    }
    if (!datagram.isEmpty) await sender.send(datagram.take());
    await sender.confirm();
  }

  /** Nothing is open between two calls of `send`. */
  async [Symbol.asyncDispose](): Promise<void> {}

  #turnEndsAt(): number {
    return this.#clock.elapsed() + MAX_TURN_MS;
  }
}

async function open(place: StatsdPlace): Promise<DatagramSocket> {
  return place.kind === "udp" ? await openUdp(place) : openUnix(place.path);
}

/** Joins lines into datagrams of at most `maxBytes`. A longer line gets a datagram of its own. */
class DatagramBuffer {
  readonly #maxBytes: number;
  #lines: string[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get isEmpty(): boolean {
    return this.#lines.length === 0;
  }

  hasRoomFor(line: string): boolean {
    return this.isEmpty || this.#bytes + Buffer.byteLength(line) <= this.#maxBytes;
  }

  add(line: string): void {
    this.#lines.push(line);
    // One more for the line break before the next line.
    this.#bytes += Buffer.byteLength(line) + 1;
  }

  /** Returns what was added since the last call. */
  take(): Uint8Array {
    const datagram = Buffer.from(this.#lines.join("\n"));
    this.#lines = [];
    this.#bytes = 0;
    return datagram;
  }
}

/** Yields one line per value. If only a sample of the latencies was kept, each line has the sampling rate. */
function* formatLines(
  measurements: readonly Measurement[],
  { sink, tags: commonTags }: Pick<StatsdOptions, "sink" | "tags">,
): Iterable<string> {
  // Timings of StatsD; distributions of DogStatsD.
  const latencyType = sink === "datadog" ? "d" : "ms";
  for (const measurement of measurements) {
    const { kind, name } = measurement;
    const tags = formatTags(commonTags, measurement.tags);
    if (kind === "latency") {
      const { values, seen } = measurement;
      const rate = seen > values.length ? `|@${values.length / seen}` : "";
      for (const ms of values) yield `${name}:${round(ms)}|${latencyType}${rate}${tags}`;
    } else {
      yield `${name}:${measurement.value}|${kind === "count" ? "c" : "g"}${tags}`;
    }
  }
}

/** Characters that end a tag value in the StatsD or DogStatsD protocol, or in a receiver that splits lines at spaces. */
const RESERVED = /[|@,#\s]/g;

/** Tags of the series come first, as in the original proxy's lines, and override common tags of the same name. */
function formatTags(common: Tags, own: Tags): string {
  const inherited = Object.entries(common).filter(([tag]) => own[tag] === undefined);
  const texts = [...Object.entries(own), ...inherited].map(
    ([tag, value]) => `${tag}:${LISTS.has(tag) ? value : value.replace(RESERVED, "_")}`,
  );
  return texts.length === 0 ? "" : `|#${texts.join(",")}`;
}

/** The original proxy 4.1 writes `accept-encoding:[Gzip, Brotli]`, and receivers know it by that. The relay makes the value itself. */
const LISTS: ReadonlySet<string> = new Set(["accept-encoding"]);

/** Rounds to 0.1 µs, so that no value is written as 1e-7, which not every receiver parses. */
function round(ms: number): number {
  return Math.round(ms * 10_000) / 10_000;
}
