import { setImmediate as nextTurn } from "node:timers/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { sendRequest } from "#runtime/requests.ts";
import type { Clock } from "../../platform/clock.ts";
import { describeErrno } from "../../platform/errors.ts";
import type { Measurement, PushSink } from "./measurement.ts";

export interface StatsigSinkOptions {
  /** The server SDK key of the project that receives the metrics. */
  readonly sdkKey: string;
  /** Where log events are sent, without `/v1`. */
  readonly baseUrl: string;
  /** The user ID of each event: the name of this machine. */
  readonly userId: string;
  /** The custom IDs of the user of each event, by their names. */
  readonly customIds: Readonly<Record<string, string>>;
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
    const { userId: userID, customIds: customIDs } = this.#options;
    return { ...toStatsigEvent(measurement), user: { userID, customIDs }, time: this.#clock.now() };
  }

  /** Rejects with an error whose message says why Statsig did not accept the events. */
  async #post(events: readonly SentEvent[], signal: AbortSignal): Promise<void> {
    const response = await this.#fetch(events, signal);
    // The status has decided: a body that breaks off afterwards is not a failure.
    await response.body?.cancel().catch(() => undefined);
    if (!response.ok) throw new Error(`Statsig answered ${response.status}`);
  }

  async #fetch(events: readonly SentEvent[], signal: AbortSignal): Promise<Response> {
    const url = `${this.#options.baseUrl.replace(/\/+$/, "")}/v1/log_event`;
    const headers = this.#headersFor(events.length);
    const statsigMetadata = { sdkType: SDK.type, sdkVersion: SDK.version, sessionID: this.#sessionId };
    const body = await gzipped(JSON.stringify({ statsigMetadata, events }));
    try {
      // Redirects are not followed: a header contains the SDK key.
      return await sendRequest(url, { method: "POST", headers, body, signal, redirect: "manual" });
    } catch (error) {
      signal.throwIfAborted();
      throw new Error(`cannot reach Statsig: ${describeErrno(error, FETCH_ERRORS)}`);
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

/** Bun's own error codes. */
const FETCH_ERRORS: Readonly<Record<string, string>> = {
  ConnectionRefused: "connection refused",
  ConnectionClosed: "connection closed",
  FailedToOpenSocket: "cannot open a connection",
};

/** One event as Statsig stores it; all metadata values are strings. */
interface StatsigEvent {
  readonly eventName: string;
  readonly value: number;
  readonly metadata: Record<string, string>;
}

interface SentEvent extends StatsigEvent {
  readonly user: { readonly userID: string; readonly customIDs: Readonly<Record<string, string>> };
  /** Milliseconds since the Unix epoch. */
  readonly time: number;
}

/** Returns one event for a measurement, however many values it has: for latencies the event's value is the mean. */
export function toStatsigEvent(measurement: Measurement): StatsigEvent {
  const { name: eventName } = measurement;
  const tags = Object.entries(measurement.tags).filter(([, value]) => value !== "");
  const metadata: Record<string, string> = Object.fromEntries(tags);
  if (measurement.kind !== "latency") return { eventName, value: measurement.value, metadata };
  const { values, seen } = measurement;
  const sum = values.reduce((total, value) => total + value, 0);
  const min = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const max = values.reduce((most, value) => Math.max(most, value), 0);
  return {
    eventName,
    value: round(sum / values.length),
    metadata: { ...metadata, count: String(seen), min: String(round(min)), max: String(round(max)) },
  };
}

/** Rounds to 1 µs. */
const round = (ms: number) => Number(ms.toFixed(3));
