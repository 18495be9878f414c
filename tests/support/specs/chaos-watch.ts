import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import {
  CHAOS_FEEDS,
  type ChaosFeed,
  type ChaosFleet,
  type Lcuts,
  type RelayLife,
  specPath,
} from "./chaos-fleet.ts";

const SAMPLE_EVERY_MS = 75;
/** Held feeds are served from memory; the rest is a margin for a busy machine. */
const ANSWER_LIMIT_MS = 15_000;
const REDIS_LIMIT_MS = 5_000;
/** Limit of violations of one round. */
const MAX_PROBLEMS = 20;

/** The parts of a relay process that are watched. */
export type WatchedLife = Omit<RelayLife, "process"> & { readonly process: { readonly httpUrl: string } };

export interface WatchedRelay {
  readonly name: string;
  readonly life: WatchedLife | undefined;
}

export type WatchedFleet = Pick<ChaosFleet, "newest" | "redisEpoch"> & {
  readonly redis: { readonly port: number };
  readonly relays: readonly WatchedRelay[];
};

/**
 * Continuously samples what each relay serves and what Redis holds. Violations are:
 *
 * - a relay process serves an older version than it did before;
 * - a relay no longer serves a feed that it served: a rejection or failure of upstream must not remove anything;
 * - a relay starts with an older version than {@link RelayLife.floor};
 * - Redis holds an older version than before, or none, unless it lost its data.
 */
export class ChaosWatch implements AsyncDisposable {
  readonly #fleet: WatchedFleet;
  readonly #redis: Redis;
  readonly #stopped = new AbortController();
  readonly #loops: readonly Promise<void>[];
  #problems: string[] = [];
  #redisEpoch = 0;
  readonly #redisLcuts = new Map<string, number>();
  /** How much longer the samples of each relay have taken so far than the pauses between them. */
  readonly #lateMs: number[];

  constructor(fleet: WatchedFleet) {
    this.#fleet = fleet;
    this.#redis = new Redis({
      host: "127.0.0.1",
      port: fleet.redis.port,
      commandTimeout: REDIS_LIMIT_MS,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => SAMPLE_EVERY_MS,
    });
    // Reported by the failing reads.
    this.#redis.on("error", () => undefined);
    this.#lateMs = fleet.relays.map(() => 0);
    this.#loops = [
      ...fleet.relays.map((relay, at) =>
        this.#repeat(
          () => this.#sampleRelay(relay),
          (ms) => {
            this.#lateMs[at] = (this.#lateMs[at] ?? 0) + ms;
          },
        ),
      ),
      this.#repeat(() => this.#sampleRedis()),
    ];
  }

  /**
   * Returns a function that returns by how many ms the machine has been late since this call: a held feed is served at once, so if that
   * takes long, the machine is busy or stands still. It is the median of the relays, since one of them may be paused or down.
   */
  measureLateness(): () => number {
    const before = [...this.#lateMs];
    return () => {
      const lateMs = this.#lateMs.map((ms, at) => ms - (before[at] ?? 0)).sort((a, b) => a - b);
      return lateMs[Math.floor(lateMs.length / 2)] ?? 0;
    };
  }

  /** Returns the violations since the last call. */
  takeProblems(): readonly string[] {
    const problems = this.#problems;
    this.#problems = [];
    return problems;
  }

  isRelayAtNewest({ life }: WatchedRelay): boolean {
    return life !== undefined && this.#hasNewest(life.served);
  }

  isRedisAtNewest(): boolean {
    return this.#redisEpoch === this.#fleet.redisEpoch && this.#hasNewest(this.#redisLcuts);
  }

  /** Returns the feeds whose last sample was not the newest version. */
  behind(): string {
    const late = (lcuts: Lcuts) =>
      CHAOS_FEEDS.flatMap((feed) => {
        const lcut = lcuts.get(feed.name);
        const ms = this.#fleet.newest(feed).lcut - (lcut ?? 0);
        if (lcut === undefined) return `${feed.name} missing`;
        return ms === 0 ? [] : `${feed.name} ${ms / 1_000} versions behind`;
      }).join(", ");
    const parts = this.#fleet.relays.map(({ name, life }) => [name, late(life?.served ?? new Map())]);
    parts.push(["Redis", late(this.#redisLcuts)]);
    return parts.flatMap(([name, feeds]) => (feeds ? `${name}: ${feeds}` : [])).join("; ");
  }

  /** Returns what Redis holds now; undefined if it does not respond. */
  async redisLcuts(): Promise<Lcuts | undefined> {
    try {
      const lcuts = await Promise.all(CHAOS_FEEDS.map(({ redisKey }) => this.#redis.hget(redisKey, "lcut")));
      return new Map(
        CHAOS_FEEDS.flatMap(({ name }, at) =>
          typeof lcuts[at] === "string" ? [[name, Number(lcuts[at])] as const] : [],
        ),
      );
    } catch {
      return undefined;
    }
  }

  /** Compares what is served and kept byte by byte with what was published, once all have the newest. */
  async compareBodies(): Promise<void> {
    for (const feed of CHAOS_FEEDS) {
      const { text } = this.#fleet.newest(feed);
      for (const { name, life } of this.#fleet.relays) {
        if (life === undefined) continue;
        const answer = await ask(life, feed, "GET");
        if ((await answer.text()) !== text) this.#report(`${name} serves another body of ${feed.name}`);
      }
      const kept = await this.#redis.hget(feed.redisKey, "config");
      if (kept !== text) this.#report(`Redis has another body of ${feed.name}`);
    }
  }

  #hasNewest(lcuts: Lcuts): boolean {
    return CHAOS_FEEDS.every((feed) => lcuts.get(feed.name) === this.#fleet.newest(feed).lcut);
  }

  #report(problem: string): void {
    if (this.#problems.length >= MAX_PROBLEMS) return;
    this.#problems.push(`${new Date().toISOString()} ${problem}`);
  }

  async #repeat(sample: () => Promise<void>, wasLate: (ms: number) => void = () => {}): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const beganAt = performance.now();
      await sample();
      await sleep(SAMPLE_EVERY_MS);
      wasLate(performance.now() - beganAt - SAMPLE_EVERY_MS);
    }
  }

  /** Sends one request per feed at a time: responses that overtake each other must not look like older versions. */
  async #sampleRelay(relay: WatchedRelay): Promise<void> {
    const { life } = relay;
    if (life === undefined) return;
    await Promise.all(CHAOS_FEEDS.map((feed) => this.#sampleFeed(relay.name, life, feed)));
  }

  async #sampleFeed(relay: string, life: WatchedLife, feed: ChaosFeed): Promise<void> {
    const wasPaused = life.isPaused;
    const before = life.served.get(feed.name);
    const answer = await ask(life, feed, "HEAD").catch((error: unknown) => String(error));
    if (life.isEnding || this.#stopped.signal.aborted) return;
    if (typeof answer === "string") {
      if (!wasPaused && !life.isPaused) this.#report(`${relay} did not answer for ${feed.name}: ${answer}`);
      return;
    }
    if (answer.status !== 200) {
      // A relay that has just started may hold nothing while upstream fails.
      if (before !== undefined) this.#report(`${relay} took ${feed.name} away: ${answer.status}`);
      return;
    }
    const lcut = Number(answer.headers.get("x-since-time"));
    const least = before ?? life.floor.get(feed.name) ?? 0;
    if (lcut < least) {
      const when = before === undefined ? "started with" : "went back to";
      this.#report(`${relay} ${when} ${feed.name} ${lcut}, ${(least - lcut) / 1_000} versions older`);
    }
    life.served.set(feed.name, lcut);
  }

  async #sampleRedis(): Promise<void> {
    const epoch = this.#fleet.redisEpoch;
    const lcuts = await this.redisLcuts();
    if (lcuts === undefined || epoch !== this.#fleet.redisEpoch) return;
    if (epoch !== this.#redisEpoch) this.#redisLcuts.clear();
    this.#redisEpoch = epoch;
    for (const { name } of CHAOS_FEEDS) {
      const before = this.#redisLcuts.get(name);
      const lcut = lcuts.get(name);
      if (before !== undefined && lcut === undefined) this.#report(`Redis lost ${name}`);
      if (before !== undefined && lcut !== undefined && lcut < before)
        this.#report(`Redis went back to ${name} ${lcut}, ${(before - lcut) / 1_000} versions older`);
      if (lcut === undefined) this.#redisLcuts.delete(name);
      else this.#redisLcuts.set(name, lcut);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    this.#redis.disconnect();
    await Promise.all(this.#loops);
  }
}

const ask = (life: WatchedLife, feed: ChaosFeed, method: "GET" | "HEAD"): Promise<Response> =>
  fetch(life.process.httpUrl + specPath(feed), {
    method,
    headers: { "accept-encoding": "identity" },
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  });
