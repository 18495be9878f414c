import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { CountName } from "../metrics/catalog.ts";
import { type MetricRegistry, OTHER } from "../metrics/registry.ts";

const SAMPLE_EVERY_MS = 5_000;

/** Two intervals: rates are over the last 5 to 10 s. */
const SAMPLES = 2;

/** Shortly after the start a single request must not look like many. */
const MIN_SPAN_S = 1;

export interface Rates {
  readonly http: number;
  /** With a status of 400 or more. */
  readonly failed: number;
  readonly rpcs: number;
  /** Undefined where the metrics no longer tell the key from others. */
  of(maskedSdkKey: string, path: string): number | undefined;
}

interface Sample {
  readonly atMs: number;
  readonly totals: Map<string, number>;
}

/** Of all together; those of a feed have a space in their names. */
const HTTP = "http";
const FAILED = "failed";
const RPCS = "rpcs";

/** How often the relay is asked, from what the metrics count anyway. */
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
    const rateOf = (name: string) => {
      // A key that was forgotten meanwhile begins anew.
      const count = (now.totals.get(name) ?? 0) - (before.totals.get(name) ?? 0);
      return Math.round((Math.max(0, count) / spanS) * 100) / 100;
    };
    return {
      http: rateOf(HTTP),
      failed: rateOf(FAILED),
      rpcs: rateOf(RPCS),
      of: (maskedSdkKey, path) => {
        const isTold = now.totals.has(nameOf(maskedSdkKey, path)) || !now.totals.has(nameOf(OTHER, path));
        return isTold ? rateOf(nameOf(maskedSdkKey, path)) : undefined;
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
        add(nameOf(tags["sdk_key"], tags["path"]), count);
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

function nameOf(maskedSdkKey = "", path = ""): string {
  return `${maskedSdkKey} ${path}`;
}

/** Counted of all keys together since the start, but for those that were forgotten. */
export function sumRates(registry: MetricRegistry, name: CountName): number {
  let total = 0;
  for (const family of registry.families()) {
    if (family.row.name !== name) continue;
    for (const { count } of family.all()) total += count;
  }
  return total;
}
