import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../common/random.ts";
import { type BegunFault, type ChaosFault, chaosFaults } from "./chaos-faults.ts";
import { CHAOS_FEEDS, ChaosFleet, type ChaosRelay, type Lcuts } from "./chaos-fleet.ts";
import { ChaosWatch } from "./chaos-watch.ts";

export interface ChaosOptions {
  readonly seed: number;
  readonly rounds: number;
  readonly fleetPolling: boolean;
  /** Only faults whose names match; by default all. */
  readonly only?: RegExp | undefined;
  readonly program?: readonly string[] | undefined;
  readonly onRound?: (round: ChaosRound) => void;
  /** Ends the run before the next round. */
  readonly signal?: AbortSignal;
}

export interface ChaosRound {
  readonly number: number;
  readonly faultNames: readonly string[];
  /** The faults with their random parameters. */
  readonly faults: readonly string[];
  /** How long the faults lasted. */
  readonly faultMs: number;
  /** Ms from the end of the last fault until all relays served the newest version of all feeds; infinite if they never did. */
  readonly relaysMs: number;
  /** The same for Redis. */
  readonly redisMs: number;
  /** Ms from the last new version during a fault of a single relay until Redis and the other relays had it. */
  readonly meanwhileMs: number | undefined;
  /** Requests to upstream of all relays together, per feed and interval. */
  readonly requestRate: number;
  /** The limit of that; undefined in a round without a reachable upstream. */
  readonly allowedRate: number | undefined;
  /** True if all relays reached Redis all the time, and could share their requests. */
  readonly isShared: boolean;
  readonly problems: readonly string[];
}

export interface ChaosRun {
  readonly rounds: readonly ChaosRound[];
  /** The violations of all rounds, with what is needed to repeat them. */
  readonly problems: readonly string[];
}

const RELAYS = 3;
const INTERVAL_S = 1;
const INTERVAL_MS = INTERVAL_S * 1_000;
const PARTS = { "one apart": 2, "all apart": RELAYS } as const;

/** Within one interval and this after the end of a fault, Redis and all relays have the newest. */
const GRACE_MS = 2_000;
/** The same for Redis and the other relays during a fault of a single one, which may hold a claim that another must take over. */
const MEANWHILE_MS = 2 * INTERVAL_MS + GRACE_MS;
/** How much longer the test waits, to report how late it was. */
const GIVE_UP_MS = 20_000;
const FAULT_INTERVALS = { least: 2, most: 4 };
/** Longer than the silence limits of connections and commands. */
const LONG_FAULT_INTERVALS = 12;
const LONG_FAULT_EVERY_ROUNDS = 6;
/** Minimum duration of a round, so that requests can be counted. */
const ROUND_INTERVALS = 9;
/** Requests per feed and interval of relays that can share them. */
const SHARED_RATE = 1.2;
/** For each ms that the machine is late, what is expected may be this much later: a command that timed out is sent again. */
const LATENESS_FACTOR = 3;

/** Runs rounds of random faults against one fleet. Throws only if the test itself cannot continue. */
export async function runChaos(options: ChaosOptions): Promise<ChaosRun> {
  const { seed, fleetPolling, program, signal } = options;
  await using fleet = await ChaosFleet.start({
    fleetPolling,
    program,
    intervalS: INTERVAL_S,
    relays: RELAYS,
  });
  await using watch = new ChaosWatch(fleet);
  const run = new RoundRunner(fleet, watch, new Random(seed), options);
  const { relaysMs, redisMs } = await run.untilNewest(GIVE_UP_MS);
  if (!Number.isFinite(relaysMs + redisMs)) throw new Error(`nothing was wrong yet: ${watch.behind()}`);
  const rounds: ChaosRound[] = [];
  const problems: string[] = [];
  for (let number = 1; number <= options.rounds && !signal?.aborted; number++) {
    const startedAt = new Date();
    const round = await run.round(number);
    rounds.push(round);
    options.onRound?.(round);
    if (round.problems.length === 0) continue;
    const logs = fleet.relays.flatMap((relay) => linesSince(relay, startedAt));
    problems.push([describeRound(round), ...round.problems, ...logs].join("\n  "));
  }
  return { rounds, problems };
}

const inMs = (ms: number): string => (Number.isFinite(ms) ? `${Math.round(ms)} ms` : "never");

export const describeRound = ({ number, faults, ...round }: ChaosRound): string =>
  `round ${number} (${faults.join(" + ")} for ${Math.round(round.faultMs)} ms): ` +
  (round.meanwhileMs === undefined ? "" : `others ${inMs(round.meanwhileMs)} meanwhile, `) +
  `relays ${inMs(round.relaysMs)}, Redis ${inMs(round.redisMs)}, ` +
  `${round.requestRate.toFixed(2)} requests of ${round.allowedRate?.toFixed(2) ?? "any"} allowed`;

/** Medians and maxima of a run. */
export function summarize(rounds: readonly ChaosRound[]): string {
  const shared = rounds.filter(({ isShared, allowedRate }) => isShared && allowedRate !== undefined);
  const relays = medianAndHighest(rounds.map(({ relaysMs }) => relaysMs));
  const redis = medianAndHighest(rounds.map(({ redisMs }) => redisMs));
  const rate = medianAndHighest(shared.map(({ requestRate }) => requestRate * 100));
  return [
    `${rounds.length} rounds; from the end of a fault until all relays have the newest: ${relays} ms`,
    `until Redis has it: ${redis} ms`,
    `requests per 100 feeds and intervals where all relays reach Redis and upstream: ${rate}`,
  ].join("\n  ");
}

function medianAndHighest(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b).map(Math.round);
  const [median, highest] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  return highest === undefined ? "none" : `median ${median}, at most ${highest}`;
}

const LOG_LINES = 30;

function linesSince(relay: ChaosRelay, since: Date): string[] {
  const isRecent = (line: string) => line.slice(0, 24) >= since.toISOString();
  const lines = relay.output().trimEnd().split("\n").filter(isRecent);
  return lines.slice(-LOG_LINES).map((line) => `${relay.name}: ${line}`);
}

interface NewestTimes extends Pick<ChaosRound, "relaysMs" | "redisMs"> {
  /** Allowance of the times, because the machine was late. */
  readonly slackMs: number;
}

interface Chosen {
  readonly fault: ChaosFault;
  readonly begun: BegunFault;
}

class RoundRunner {
  readonly #fleet: ChaosFleet;
  readonly #watch: ChaosWatch;
  readonly #random: Random;
  readonly #fleetPolling: boolean;
  readonly #faults: readonly ChaosFault[];
  /** Each fault is used once before any is used again. */
  #deck: ChaosFault[] = [];
  #isRedisWell = true;
  #problems: string[] = [];

  constructor(
    fleet: ChaosFleet,
    watch: ChaosWatch,
    random: Random,
    { fleetPolling, only = /^/ }: Pick<ChaosOptions, "fleetPolling" | "only">,
  ) {
    this.#fleet = fleet;
    this.#watch = watch;
    this.#random = random;
    this.#fleetPolling = fleetPolling;
    this.#faults = chaosFaults((relay) => this.#startAgain(relay)).filter(({ name }) => only.test(name));
    if (this.#faults.length === 0) throw new Error(`the name of no fault matches ${only}`);
  }

  async round(number: number): Promise<ChaosRound> {
    const beganAt = performance.now();
    const readLateMs = this.#watch.measureLateness();
    this.#fleet.upstream.forgetRequests();
    this.#problems = [];
    const faults = this.#choose();
    this.#isRedisWell = faults.every(({ place }) => place !== "redis");
    const chosen: Chosen[] = [];
    for (const fault of faults) chosen.push({ fault, begun: await fault.begin(this.#fleet, this.#random) });
    const faultMs = await this.#publishMeanwhile(number);
    const meanwhileMs = await this.#untilOthersAreNewest(chosen);
    await this.#end(chosen);
    const endedAt = performance.now();
    this.#publish(1 + this.#random.below(2));
    const { slackMs, ...times } = await this.untilNewest(GIVE_UP_MS);
    if (Number.isFinite(times.relaysMs + times.redisMs)) await this.#watch.compareBodies();
    await sleep(Math.max(0, beganAt + ROUND_INTERVALS * INTERVAL_MS - performance.now()));
    const rates = this.#rates(faults, { beganAt, endedAt, lateMs: readLateMs() });
    this.#judge({ ...times, ...rates, slackMs });
    return {
      number,
      faultNames: faults.map(({ name }) => name),
      faults: chosen.map(({ fault, begun }) => `${fault.name}${begun.detail && `, ${begun.detail}`}`),
      faultMs,
      meanwhileMs,
      ...times,
      ...rates,
      problems: this.#problems,
    };
  }

  /** Picks one fault, and in one of three rounds another one in another place. */
  #choose(): ChaosFault[] {
    const first = this.#draw();
    if (!this.#random.oneIn(3)) return [first];
    const others = this.#faults.filter(({ place }) => place !== first.place);
    const second = others[this.#random.below(others.length)];
    return second === undefined ? [first] : [first, second];
  }

  #draw(): ChaosFault {
    if (this.#deck.length === 0) this.#deck = [...this.#faults];
    const [drawn] = this.#deck.splice(this.#random.below(this.#deck.length), 1);
    if (drawn === undefined) throw new Error("there are no faults");
    return drawn;
  }

  /** Publishes versions at random times of the fault. Returns its duration, ms. */
  async #publishMeanwhile(number: number): Promise<number> {
    const { least, most } = FAULT_INTERVALS;
    const shortMs = INTERVAL_MS * least + this.#random.below(INTERVAL_MS * (most - least));
    const isLong = number % LONG_FAULT_EVERY_ROUNDS === 0;
    const faultMs = isLong ? INTERVAL_MS * LONG_FAULT_INTERVALS : shortMs;
    const parts = 2 + this.#random.below(2);
    for (let part = 0; part < parts; part++) {
      await sleep(faultMs / (parts + 1));
      this.#publish(1 + this.#random.below(2));
    }
    await sleep(faultMs / (parts + 1));
    return faultMs;
  }

  #publish(feeds: number): void {
    for (let i = 0; i < feeds; i++) this.#fleet.publish(this.#random.pick(CHAOS_FEEDS));
  }

  /** During a fault of a single relay, the other relays and Redis must get new versions. */
  async #untilOthersAreNewest(chosen: readonly Chosen[]): Promise<number | undefined> {
    const [only, second] = chosen;
    if (only?.begun.onlyHits === undefined || second !== undefined) return undefined;
    this.#publish(1);
    const others = this.#fleet.relays.filter((relay) => relay !== only.begun.onlyHits);
    const { relaysMs, redisMs } = await this.untilNewest(MEANWHILE_MS, others);
    return Math.max(relaysMs, redisMs);
  }

  /** Ends faults of relays first, so that a restarted relay has to cope without upstream or Redis. */
  async #end(chosen: readonly Chosen[]): Promise<void> {
    for (const { fault, begun } of chosen) {
      if (fault.place !== "relay") continue;
      await begun.end();
      if (this.#isRedisWell) await this.#untilServed();
    }
    await Promise.all(chosen.map(({ fault, begun }) => (fault.place === "relay" ? undefined : begun.end())));
  }

  /** A relay serves what Redis has without upstream. */
  async #untilServed(): Promise<void> {
    const giveUpAt = performance.now() + INTERVAL_MS + GRACE_MS;
    const readSlackMs = this.#measureSlack();
    const isServing = ({ life }: ChaosRelay) => life?.served.size === CHAOS_FEEDS.length;
    while (!this.#fleet.relays.every(isServing)) {
      if (performance.now() > giveUpAt + readSlackMs()) {
        this.#problems.push(`what Redis has is not served yet: ${this.#watch.behind()}`);
        return;
      }
      await sleep(25);
    }
  }

  /** A process that replaces a killed one must not serve older versions than Redis, nor than the killed one. */
  async #startAgain(relay: ChaosRelay): Promise<void> {
    const redis = this.#isRedisWell ? await this.#watch.redisLcuts() : undefined;
    await relay.start(redis === undefined ? new Map() : newestOf(redis, relay.servedBefore));
  }

  /** Returns a function that returns what the limit of a time that begins now may be exceeded by, since the machine is late. */
  #measureSlack(): () => number {
    const readLateMs = this.#watch.measureLateness();
    return () => LATENESS_FACTOR * readLateMs();
  }

  /** Times are infinite if the newest versions were not there in time. */
  async untilNewest(giveUpMs: number, relays = this.#fleet.relays): Promise<NewestTimes> {
    const beganAt = performance.now();
    const readSlackMs = this.#measureSlack();
    let relaysMs = Number.POSITIVE_INFINITY;
    let redisMs = Number.POSITIVE_INFINITY;
    for (;;) {
      const ms = performance.now() - beganAt;
      if (relays.every((relay) => this.#watch.isRelayAtNewest(relay))) relaysMs = Math.min(relaysMs, ms);
      if (this.#watch.isRedisAtNewest()) redisMs = Math.min(redisMs, ms);
      const slackMs = readSlackMs();
      if (Math.max(relaysMs, redisMs) <= ms) return { relaysMs, redisMs, slackMs };
      if (ms > giveUpMs + slackMs) {
        const who =
          relays === this.#fleet.relays ? "" : `${relays.map(({ name }) => name).join(", ")} or Redis `;
        this.#problems.push(`${who}not at the newest after ${giveUpMs} ms: ${this.#watch.behind()}`);
        return { relaysMs, redisMs, slackMs };
      }
      await sleep(25);
    }
  }

  #rates(
    faults: readonly ChaosFault[],
    {
      beganAt,
      endedAt,
      lateMs,
    }: { readonly beganAt: number; readonly endedAt: number; readonly lateMs: number },
  ): Pick<ChaosRound, "requestRate" | "allowedRate" | "isShared"> {
    const intervals = (performance.now() - beganAt) / INTERVAL_MS;
    const requestRate =
      this.#fleet.upstream.count(/\/download_config_specs\//) / (intervals * CHAOS_FEEDS.length);
    const parts = this.#fleetPolling ? Math.max(...faults.map(partsOf)) : RELAYS;
    const isShared = parts === 1;
    if (faults.some(({ isUpstreamAway }) => isUpstreamAway)) {
      return { requestRate, allowedRate: undefined, isShared };
    }
    // Relays that were separated share requests again within the time in which they get the newest version.
    const apartIntervals = this.#fleetPolling
      ? Math.min(intervals, (endedAt - beganAt + GRACE_MS) / INTERVAL_MS + 1)
      : intervals;
    const mean = (apartIntervals * parts + (intervals - apartIntervals)) / intervals;
    // A request that is not answered in time may be sent again by another relay.
    const repeated = lateMs / INTERVAL_MS / intervals;
    return { requestRate, allowedRate: SHARED_RATE * mean + repeated, isShared };
  }

  #judge({
    relaysMs,
    redisMs,
    slackMs,
    requestRate,
    allowedRate,
  }: NewestTimes & Pick<ChaosRound, "requestRate" | "allowedRate">): void {
    const limitMs = INTERVAL_MS + GRACE_MS + slackMs;
    if (relaysMs > limitMs) this.#problems.push(`relays were late: ${Math.round(relaysMs)} ms`);
    if (redisMs > limitMs) this.#problems.push(`Redis was late: ${Math.round(redisMs)} ms`);
    if (allowedRate !== undefined && requestRate > allowedRate)
      this.#problems.push(`upstream was asked ${requestRate.toFixed(2)} times per feed and interval`);
    this.#problems.push(...this.#watch.takeProblems());
  }
}

const partsOf = ({ parts }: ChaosFault): number => (parts === undefined ? 1 : PARTS[parts]);

function newestOf(one: Lcuts, other: Lcuts): Lcuts {
  return new Map(
    CHAOS_FEEDS.map(({ name }) => [name, Math.max(one.get(name) ?? 0, other.get(name) ?? 0)] as const),
  );
}
