import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { CountName } from "../metrics/catalog.ts";
import { type MetricRegistry, OTHER } from "../metrics/registry.ts";

const SAMPLE_EVERY_MS = 5_000;

/** Two samples, so that rates cover the last 5 to 10 s. */
const SAMPLES = 2;

/** Shortly after the start, a single request must not look like many per second. */
const MIN_SPAN_S = 1;

export interface Rates {
  readonly http: number;
  /** Requests with a response status of 400 or higher. */
  readonly failed: number;
  readonly rpcs: number;
  /** Returns undefined if the key has no series of its own in the metrics. */
  find(maskedSdkKey: string, path: string): number | undefined;
}

interface Sample {
  readonly atMs: number;
  readonly totals: Map<string, number>;
}

/** Names of totals over all feeds. The total of a feed has a space in its name. */
const HTTP = "http";
const FAILED = "failed";
const RPCS = "rpcs";

/** Computes request rates from the counts of the metrics. */
export class RequestRates implements AsyncDisposable {
  readonly #registry: MetricRegistry;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #samples: Sample[] = [];

  constructor(registry: MetricRegistry, clock: Clock, supervisor: Supervisor) {
    this.#registry = registry;
    this.#clock = clock;
    const { signal } = this.#stop;
    this.#running = supervisor.loop("request_rates", signal, async () => {
      this.#samples = [...this.#samples, this.#sample()].slice(-SAMPLES);
      await clock.sleep(SAMPLE_EVERY_MS, signal);
    });
  }

  read(): Rates {
    const now = this.#sample();
    const before = this.#samples[0] ?? now;
    const spanS = Math.max(MIN_SPAN_S, (now.atMs - before.atMs) / 1_000);
    const rate = (name: string) => {
      // The count of a key that was forgotten in the meantime has restarted from 0.
      const count = (now.totals.get(name) ?? 0) - (before.totals.get(name) ?? 0);
      return Math.round((Math.max(0, count) / spanS) * 100) / 100;
    };
    return {
      http: rate(HTTP),
      failed: rate(FAILED),
      rpcs: rate(RPCS),
      find: (maskedSdkKey, path) => {
        const hasSeries =
          now.totals.has(totalName(maskedSdkKey, path)) || !now.totals.has(totalName(OTHER, path));
        return hasSeries ? rate(totalName(maskedSdkKey, path)) : undefined;
      },
    };
  }

  #sample(): Sample {
    const totals = new Map<string, number>();
    const add = (name: string, count: number) => totals.set(name, (totals.get(name) ?? 0) + count);
    for (const family of this.#registry.families()) {
      const names = COUNTED[family.row.name];
      if (names === undefined) continue;
      for (const { tags, count } of family.all()) {
        for (const name of names) add(name, count);
        add(totalName(tags["sdk_key"], tags["path"]), count);
      }
    }
    return { atMs: this.#clock.elapsed(), totals };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

const COUNTED: Readonly<Record<string, readonly string[]>> = {
  HttpServerRequestSuccess: [HTTP],
  HttpServerRequestFailed: [HTTP, FAILED],
  GrpcServerRequest: [RPCS],
};

function totalName(maskedSdkKey = "", path = ""): string {
  return `${maskedSdkKey} ${path}`;
}

/** Returns the sum of a count over all its series. Series of forgotten SDK keys are not included. */
export function sumCounts(registry: MetricRegistry, name: CountName): number {
  let total = 0;
  for (const family of registry.families()) {
    if (family.row.name !== name) continue;
    for (const { count } of family.all()) total += count;
  }
  return total;
}
