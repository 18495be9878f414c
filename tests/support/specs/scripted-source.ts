import type { Clock } from "../../../src/platform/clock.ts";
import type { VersionId } from "../../../src/specs/deltas/delta.ts";
import { type Feed, feedId } from "../../../src/specs/feed.ts";
import type { FetchOutcome, SpecSource } from "../../../src/specs/source.ts";

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

export const version = (lcut: number, checksum?: string): FetchOutcome => ({
  kind: "payload",
  raw: {
    body: new TextEncoder().encode(JSON.stringify({ time: lcut, ...(checksum && { checksum }) })),
    contentEncoding: "",
    format: "json",
    headerLcut: undefined,
    sdkKeyHash: "",
  },
});

type Script = (
  sinceTime: number,
  signal: AbortSignal,
  progressed: () => void,
  checksum: string,
) => FetchOutcome | Promise<FetchOutcome>;

/** Sends version 1 of every feed, and no update after that. */
const healthy: Script = (sinceTime) => (sinceTime > 0 ? { kind: "no_update" } : version(1));

/** An upstream that a test scripts, and that records its requests. */
export class ScriptedSource implements SpecSource {
  readonly asked: {
    readonly feed: Feed;
    readonly sinceTime: number;
    readonly checksum: string;
    readonly atMs: number;
  }[] = [];
  mostInFlight = 0;
  /** The response for a feed without a script. */
  otherwise: Script = healthy;
  #inFlight = 0;
  readonly #clock: Clock;
  readonly #scripts = new Map<string, Script>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  answer(feed: Feed, script: Script | FetchOutcome): void {
    this.#scripts.set(feedId(feed), typeof script === "function" ? script : () => script);
  }

  /** The feed's requests hang until the returned function is called with their response. */
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

  async fetchSpecs(
    feed: Feed,
    { lcut: sinceTime, checksum }: VersionId,
    signal: AbortSignal,
    progressed: () => void = () => {},
  ): Promise<FetchOutcome> {
    this.asked.push({ feed, sinceTime, checksum, atMs: this.#clock.now() });
    this.mostInFlight = Math.max(this.mostInFlight, ++this.#inFlight);
    try {
      return await (this.#scripts.get(feedId(feed)) ?? this.otherwise)(
        sinceTime,
        signal,
        progressed,
        checksum,
      );
    } finally {
      this.#inFlight--;
    }
  }
}
