import { setImmediate as nextTurn } from "node:timers/promises";
import Statsig, { type StatsigOptions } from "statsig-node";
import type { Tags } from "../metrics/series.ts";
import type { Measurement } from "./measurement.ts";
import type { PushSink } from "./push-sink.ts";
import { statsigEvent } from "./statsig-event.ts";
import { StatsigRequests } from "./statsig-requests.ts";

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
