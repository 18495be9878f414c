import type { Clock } from "../../src/clock.ts";
import type { SpecEvent } from "../../src/specs/events.ts";
import { type Feed, feedId } from "../../src/specs/feed.ts";
import { readJsonFacts } from "../../src/specs/json-facts.ts";
import { SpecPoller } from "../../src/specs/poller.ts";
import type { SpecPreparer } from "../../src/specs/preparer.ts";
import { SpecRefresher } from "../../src/specs/refresh.ts";
import type { SdkKey } from "../../src/specs/sdk-key.ts";
import type { FetchOutcome, SpecSource } from "../../src/specs/spec-source.ts";
import { SpecStore } from "../../src/specs/spec-store.ts";
import { FakeClock } from "./fake-clock.ts";

export const POLL_INTERVAL_MS = 10_000;

export const failed = (
  cause: "unreachable" | "timeout" | "status" | "broken",
  retryAfterMs?: number,
): FetchOutcome => ({
  kind: "failed",
  cause,
  detail: `scripted: ${cause}`,
  ...(retryAfterMs !== undefined && { retryAfterMs }),
});

export const unauthorized: FetchOutcome = { kind: "unauthorized", status: 401 };

export const version = (lcut: number): FetchOutcome => ({
  kind: "payload",
  raw: {
    body: new TextEncoder().encode(`{"time":${lcut}}`),
    contentEncoding: "",
    format: "json",
    headerLcut: undefined,
    sdkKeyHash: "",
  },
});

type Script = (sinceTime: number, signal: AbortSignal) => FetchOutcome | Promise<FetchOutcome>;

/** Version 1 of whatever is asked for, and no news after that. */
const healthy: Script = (sinceTime) => (sinceTime > 0 ? { kind: "no_update" } : version(1));

/** An upstream that does what a test tells it, and remembers who asked when. */
export class ScriptedSource implements SpecSource {
  readonly asked: { readonly feed: Feed; readonly sinceTime: number; readonly atMs: number }[] = [];
  inFlight = 0;
  mostInFlight = 0;
  /** What a feed gets that has no script of its own. */
  otherwise: Script = healthy;
  readonly #clock: Clock;
  readonly #scripts = new Map<string, Script>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  answer(feed: Feed, script: Script | FetchOutcome): void {
    this.#scripts.set(feedId(feed), typeof script === "function" ? script : () => script);
  }

  /** The feed's requests hang until what is returned is called; their answer is then what is given there. */
  hang(feed: Feed): (outcome: FetchOutcome) => void {
    const answer = Promise.withResolvers<FetchOutcome>();
    this.answer(feed, () => answer.promise);
    return answer.resolve;
  }

  timesAsked(feed: Feed): readonly number[] {
    return this.asked.filter((each) => feedId(each.feed) === feedId(feed)).map(({ atMs }) => atMs);
  }

  count(feed: Feed): number {
    return this.timesAsked(feed).length;
  }

  async fetchSpecs(feed: Feed, sinceTime: number, signal: AbortSignal): Promise<FetchOutcome> {
    this.asked.push({ feed, sinceTime, atMs: this.#clock.now() });
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
    try {
      return await (this.#scripts.get(feedId(feed)) ?? this.otherwise)(sinceTime, signal);
    } finally {
      this.inFlight--;
    }
  }
}

/** Reads a payload on the spot, without a thread, so that a fake clock can drive what waits for it. */
const instantPreparer: SpecPreparer = {
  async prepare({ body, format }) {
    const lcut = readJsonFacts(body).lcut ?? 0;
    return { kind: "prepared", payload: { lcut, format, bytes: body, compressed: {}, digest: String(lcut) } };
  },
  async [Symbol.asyncDispose]() {},
};

export interface SpecFlowOptions {
  readonly maxKeys?: number;
  readonly maxInFlight?: number;
  readonly pinned?: readonly SdkKey[];
  readonly preload?: readonly Feed[];
  readonly clearOnUnauthorized?: boolean;
}

/** The real store, refresher and poller between a scripted upstream and a clock that stands still. */
export function specFlow(options: SpecFlowOptions = {}) {
  const { maxKeys = 100, maxInFlight = 64, pinned = [], preload = [], clearOnUnauthorized = false } = options;
  const clock = new FakeClock();
  const source = new ScriptedSource(clock);
  const store = new SpecStore({ maxKeys, pinned });
  const events: SpecEvent[] = [];
  const stopping = new AbortController();
  const refresher = new SpecRefresher({
    source,
    preparer: instantPreparer,
    store,
    clock,
    policy: { clearOnUnauthorized },
    maxInFlight,
    maxKeys,
    emit: (event) => events.push(event),
    signal: stopping.signal,
  });
  const poller = new SpecPoller({ store, refresher, clock, intervalMs: POLL_INTERVAL_MS, preload });
  return {
    clock,
    source,
    store,
    events,
    refresher,
    poller,
    [Symbol.asyncDispose]: () => poller[Symbol.asyncDispose](),
  };
}
