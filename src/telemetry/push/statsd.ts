import { setImmediate as nextTurn } from "node:timers/promises";
import { StatsD } from "hot-shots";
import type { Clock } from "../../platform/clock.ts";
import type { Measurement, PushSink } from "./measurement.ts";
import { type DatagramSocket, DatagramStream, openUdp, openUnix } from "./statsd-socket.ts";

declare module "hot-shots" {
  interface StatsD {
    /** A line with whatever rate it carries: given a rate, the methods for each kind drop lines at random. */
    send(line: string, tags: readonly string[]): void;
  }
}

/** How long hot-shots looks for lines on their way when it is closed; there are none. */
const CLOSING_MS = 10;

/** Requests do not wait for lines to be made, but for so long. */
const MAX_TURN_MS = 1;

/** Sends metrics to StatsD or to Datadog's agent, in datagrams of many lines. */
export class StatsdSink implements PushSink {
  readonly name: StatsdOptions["sink"];
  readonly #clock: Clock;
  readonly #latencyType: LatencyType;
  readonly #maxLinesAtOnce: number;
  readonly #stream: DatagramStream;
  readonly #client: StatsD;

  constructor(options: StatsdOptions, clock: Clock) {
    const { sink, place, maxRetries, retryDelayMs, maxLinesAtOnce } = options;
    this.name = sink;
    this.#clock = clock;
    this.#latencyType = sink === "datadog" ? "d" : "ms";
    this.#maxLinesAtOnce = maxLinesAtOnce;
    this.#stream = new DatagramStream({ open: () => open(place), clock, maxRetries, retryDelayMs });
    this.#client = new StatsD({
      protocol: "stream",
      stream: this.#stream,
      globalTags: options.tags,
      maxBufferSize: options.maxDatagramBytes,
      bufferFlushInterval: options.flushIntervalMs,
      closingFlushInterval: CLOSING_MS,
      // Else it would read DD_… by itself, and add its own lines and fields to ours.
      includeDataDogTags: false,
      datadog: false,
      // The stream has told already.
      errorHandler: () => {},
    });
  }

  async send(measurements: readonly Measurement[], signal: AbortSignal): Promise<void> {
    this.#stream.begin(signal);
    try {
      let lines = 0;
      let turnEndsAt = this.#turnEndsAt();
      for (const measurement of measurements) {
        for (const { text, tags } of linesOf(measurement, this.#latencyType)) {
          this.#client.send(text, tags);
          if (++lines % this.#maxLinesAtOnce === 0) await this.#handOver(signal);
        }
        if (this.#clock.elapsed() < turnEndsAt) continue;
        await nextTurn();
        turnEndsAt = this.#turnEndsAt();
      }
      await this.#handOver(signal);
      await this.#stream.confirm();
    } finally {
      this.#stream.disconnect();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#client.close(() => resolve()));
  }

  /** Lines in datagrams that are not full yet are sent as well. */
  async #handOver(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#client.flush((error) => (error ? reject(error) : resolve()));
    });
    this.#stream.check();
    await nextTurn();
    signal.throwIfAborted();
  }

  #turnEndsAt(): number {
    return this.#clock.elapsed() + MAX_TURN_MS;
  }
}

async function open(place: StatsdPlace): Promise<DatagramSocket> {
  return place.kind === "udp" ? await openUdp(place) : openUnix(place.path);
}

/** A metric in the format of StatsD, without its tags. */
interface StatsdLine {
  readonly text: string;
  readonly tags: readonly string[];
}

/** `ms`: a timing of StatsD; `d`: a distribution of DogStatsD. */
type LatencyType = "ms" | "d";

/** One line a value. Of latencies that are only a part of those seen, each says which part. */
function* linesOf(measurement: Measurement, latencyType: LatencyType): Iterable<StatsdLine> {
  const { kind, name } = measurement;
  const tags = Object.entries(measurement.tags).flatMap(([tag, value]) =>
    value === "" ? [] : [`${tag}:${value}`],
  );
  switch (kind) {
    case "count":
      yield { text: `${name}:${measurement.value}|c`, tags };
      return;
    case "gauge":
      yield { text: `${name}:${measurement.value}|g`, tags };
      return;
    case "latency": {
      const { values, seen } = measurement;
      const rate = seen > values.length ? `|@${values.length / seen}` : "";
      for (const ms of values) yield { text: `${name}:${rounded(ms)}|${latencyType}${rate}`, tags };
    }
  }
}

/** To 0.1 µs, so that nothing is written as 1e-7, which not every reader takes. */
function rounded(ms: number): number {
  return Math.round(ms * 10_000) / 10_000;
}

/** Where the lines go. */
export type StatsdPlace =
  | { readonly kind: "udp"; readonly host: string; readonly port: number }
  /** A datagram socket. */
  | { readonly kind: "unix"; readonly path: string };

/** How metrics are sent to StatsD, or to the agent of Datadog. */
export interface StatsdOptions {
  /** Datadog is sent latencies as distributions, StatsD as timings. */
  readonly sink: "statsd" | "datadog";
  readonly place: StatsdPlace;
  /** On every line. */
  readonly tags: Readonly<Record<string, string>>;
  readonly maxDatagramBytes: number;
  /** Lines that are made and sent before anything else gets its turn. */
  readonly maxLinesAtOnce: number;
  /** After which lines are sent that wait for more, were they not sent with the end of their batch. */
  readonly flushIntervalMs: number;
  /** Of one datagram. */
  readonly maxRetries: number;
  /** Before the first of them, doubled for each further. */
  readonly retryDelayMs: number;
}
