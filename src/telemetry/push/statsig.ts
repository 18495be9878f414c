import { setImmediate as nextTurn } from "node:timers/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Clock } from "../../platform/clock.ts";
import type { Tags } from "../metrics/series.ts";
import type { Measurement, PushSink } from "./measurement.ts";

export interface StatsigSinkOptions {
  /** The server SDK key of the project that receives the metrics. */
  readonly sdkKey: string;
  /** Where log events are sent, without `/v1`. */
  readonly baseUrl: string;
  /** The user ID of each event: the name of this machine. */
  readonly userId: string;
  /** Metadata of each event, in addition to its own tags. */
  readonly tags: Tags;
}

const EVENTS_PER_REQUEST = 500;

/** Creating this many events blocks requests for a few tenths of a millisecond. */
const EVENTS_PER_TURN = 25;

/** Sent to Statsig as the type and version of the SDK, since the requests have the wire format of this one. */
const SDK = { type: "statsig-node", version: "6.5.2" } as const;

const gzipped = promisify(gzip);

/** Sends metrics to Statsig as log events, in requests like those of an SDK. */
export class StatsigSink implements PushSink {
  readonly name = "statsig";
  readonly #options: StatsigSinkOptions;
  readonly #clock: Clock;
  readonly #sessionId = crypto.randomUUID();

  constructor(options: StatsigSinkOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  async send(measurements: readonly Measurement[], signal: AbortSignal): Promise<void> {
    let events: SentEvent[] = [];
    for (let at = 0; at < measurements.length; at += EVENTS_PER_TURN) {
      events.push(...measurements.slice(at, at + EVENTS_PER_TURN).map((it) => this.#toEvent(it)));
      await nextTurn();
      if (events.length < EVENTS_PER_REQUEST) continue;
      await this.#post(events, signal);
      events = [];
    }
    if (events.length > 0) await this.#post(events, signal);
  }

  /** Nothing is open between two calls of `send`. */
  async [Symbol.asyncDispose](): Promise<void> {}

  #toEvent(measurement: Measurement): SentEvent {
    const { userId: userID, tags } = this.#options;
    return { ...statsigEvent(measurement, tags), user: { userID }, time: this.#clock.now() };
  }

  /** Throws an error whose message says, for people, why Statsig did not accept the events. */
  async #post(events: readonly SentEvent[], signal: AbortSignal): Promise<void> {
    const response = await this.#fetch(events, signal);
    await response.body?.cancel();
    if (!response.ok) throw new Error(`Statsig answered ${response.status}`);
  }

  async #fetch(events: readonly SentEvent[], signal: AbortSignal): Promise<Response> {
    const url = `${this.#options.baseUrl.replace(/\/+$/, "")}/v1/log_event`;
    const headers = this.#headersFor(events.length);
    const statsigMetadata = { sdkType: SDK.type, sdkVersion: SDK.version, sessionID: this.#sessionId };
    const body = await gzipped(JSON.stringify({ statsigMetadata, events }));
    try {
      // Redirects are not followed: a header contains the SDK key.
      return await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
    } catch (error) {
      if (signal.aborted) throw new Error("Statsig did not answer in time");
      const { code, name } = error as NodeJS.ErrnoException;
      throw new Error(`Statsig can't be reached: ${code ?? name}`);
    }
  }

  #headersFor(count: number): Record<string, string> {
    return {
      "statsig-api-key": this.#options.sdkKey,
      "statsig-event-count": String(count),
      "statsig-client-time": String(this.#clock.now()),
      "statsig-server-session-id": this.#sessionId,
      "statsig-sdk-type": SDK.type,
      "statsig-sdk-version": SDK.version,
      "content-type": "application/json; charset=UTF-8",
      "content-encoding": "gzip",
    };
  }
}

/** One event as Statsig stores it; all metadata values are strings. */
interface StatsigEvent {
  readonly eventName: string;
  readonly value: number;
  readonly metadata: Record<string, string>;
}

interface SentEvent extends StatsigEvent {
  readonly user: { readonly userID: string };
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** Returns one event for a measurement, however many values it has. Its own tags override those in `given`. */
export function statsigEvent(measurement: Measurement, given: Tags): StatsigEvent {
  const { name: eventName } = measurement;
  const tags = Object.entries(measurement.tags).filter(([, value]) => value !== "");
  const metadata = { ...given, ...Object.fromEntries(tags) };
  if (measurement.kind !== "latency") return { eventName, value: measurement.value, metadata };
  const { values, seen } = measurement;
  const sum = values.reduce((total, value) => total + value, 0);
  const min = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const max = values.reduce((most, value) => Math.max(most, value), 0);
  return {
    eventName,
    value: rounded(sum / values.length),
    metadata: { ...metadata, count: String(seen), min: String(rounded(min)), max: String(rounded(max)) },
  };
}

/** Rounds to microseconds. */
const rounded = (ms: number) => Number(ms.toFixed(3));
