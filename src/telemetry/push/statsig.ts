import { setImmediate as nextTurn } from "node:timers/promises";
import Statsig, { type StatsigOptions } from "statsig-node";
import type { Tags } from "../metrics/series.ts";
import type { Measurement, PushSink } from "./measurement.ts";

export interface StatsigSinkOptions {
  /** Of the project that gets the metrics. */
  readonly sdkKey: string;
  /** Where events go, without `/v1`. */
  readonly baseUrl: string;
  /** Whose events these are: the name of this machine. */
  readonly userId: string;
  /** With each event. */
  readonly tags: Tags;
}

/** Below the SDK's own limit of 1,000, at which it would send without being asked to. */
const EVENTS_PER_REQUEST = 500;

/** Some tenths of a millisecond: requests do not wait for longer. */
const EVENTS_PER_TURN = 25;

/** Beyond it a timer of the SDK would fire at once. */
const MAX_TIMER_MS = 0x7fffffff;

/** A project without anything in it: the SDK is ready without having asked for one. */
const NO_SPECS = { has_updates: true, time: 1, feature_gates: [], dynamic_configs: [], layer_configs: [] };

/** Sends metrics to Statsig as events, by Statsig's own SDK. */
export class StatsigSink implements PushSink {
  readonly name = "statsig";
  readonly #options: StatsigSinkOptions;
  readonly #requests: StatsigRequests;

  private constructor(options: StatsigSinkOptions, requests: StatsigRequests) {
    this.#options = options;
    this.#requests = requests;
  }

  /** There is one at a time in a process, as the SDK has it. Asks nothing of the network. */
  static async open(options: StatsigSinkOptions): Promise<StatsigSink> {
    const requests = new StatsigRequests();
    await Statsig.initialize(options.sdkKey, sdkOptions(options.baseUrl, requests));
    // What it has to say of itself goes nowhere: no request may be sent yet.
    await Statsig.flush();
    return new StatsigSink(options, requests);
  }

  async send(measurements: readonly Measurement[], signal: AbortSignal): Promise<void> {
    this.#requests.begin(signal);
    for (let at = 0; at < measurements.length; at += EVENTS_PER_TURN) {
      for (const measurement of measurements.slice(at, at + EVENTS_PER_TURN)) this.#log(measurement);
      await nextTurn();
      if ((at + EVENTS_PER_TURN) % EVENTS_PER_REQUEST === 0) await this.#flush();
    }
    await this.#flush();
  }

  /** Nothing is on its way by then. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Statsig.shutdownAsync();
  }

  #log(measurement: Measurement): void {
    const { userId: userID, tags } = this.#options;
    Statsig.logEventObject({ ...statsigEvent(measurement, tags), user: { userID } });
  }

  async #flush(): Promise<void> {
    await Statsig.flush();
    this.#requests.check();
  }
}

/** Nothing but events goes over the network, and nothing is printed. */
function sdkOptions(baseUrl: string, requests: StatsigRequests): StatsigOptions {
  return {
    api: `${baseUrl.replace(/\/+$/, "")}/v1`,
    networkOverrideFunc: requests.fetch,
    bootstrapValues: JSON.stringify(NO_SPECS),
    disableRulesetsSync: true,
    disableIdListsSync: true,
    initStrategyForIDLists: "none",
    initStrategyForIP3Country: "none",
    disableDiagnostics: true,
    loggingIntervalMs: MAX_TIMER_MS,
    logger: { logLevel: "none", warn: () => {}, error: () => {} },
  };
}

/** What is logged as one event; metadata are texts, as Statsig takes them. */
interface StatsigEvent {
  readonly eventName: string;
  readonly value: number;
  readonly metadata: Record<string, string>;
}

/** A measurement as one event, however much was measured. Tags that are measured go before those that were given. */
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

/** To microseconds. */
const rounded = (ms: number) => Number(ms.toFixed(3));

/**
 * The SDK's way to the network. It is always told that all went well: else it would try again for long, keep in memory
 * what we have given up, and report the failure to another address of Statsig. How it went is for us to ask.
 */
class StatsigRequests {
  #signal: AbortSignal = AbortSignal.abort();
  #problem: string | undefined;

  /** From now on requests end with `signal`, and problems are new ones. */
  begin(signal: AbortSignal): void {
    this.#signal = signal;
    this.#problem = undefined;
  }

  /** Throws what went wrong since then, for people. */
  check(): void {
    if (this.#problem !== undefined) throw new Error(this.#problem);
  }

  readonly fetch = async (url: string, request: RequestInit): Promise<Response> => {
    this.#problem ??= await this.#send(url, request);
    return new Response(null, { status: 202 });
  };

  async #send(url: string, request: RequestInit): Promise<string | undefined> {
    const signal = this.#signal;
    try {
      // The way to another host is not ours to take: a header holds the SDK key.
      const response = await fetch(url, { ...request, signal, redirect: "manual" });
      await response.body?.cancel();
      return response.ok ? undefined : `Statsig answered ${response.status}`;
    } catch (error) {
      if (signal.aborted) return "Statsig did not answer in time";
      const { code, name } = error as NodeJS.ErrnoException;
      return `Statsig can't be reached: ${code ?? name}`;
    }
  }
}
