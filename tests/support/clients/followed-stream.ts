import { expect } from "bun:test";
import fc from "fast-check";
import { SharedCount } from "../../../src/platform/shared-count.ts";
import { InFlight } from "../../../src/server/limits.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";
import { HeldFeed } from "../../../src/specs/store.ts";
import { HEARTBEAT_MS } from "../../../src/streams/heartbeats.ts";
import { readItems } from "../../../src/streams/read-items.ts";
import { FeedFinder } from "../../../src/streams/requested-feed.ts";
import { type SpecItem, SpecStreams } from "../../../src/streams/spec-stream.ts";
import { StatusError } from "../../../src/streams/status-error.ts";
import { StreamLimit } from "../../../src/streams/stream-limit.ts";
import { FakeClock, settle } from "../common/fake-clock.ts";
import { feedOf, snapshotOf } from "../specs/snapshots.ts";

export type StreamStep =
  /** Upstream's next version. It is not newer if `by` is below zero, and may be another content if it is zero. */
  | { readonly kind: "publish"; readonly by: number; readonly checksum: string }
  /** The client reads one more message. */
  | { readonly kind: "read" }
  | { readonly kind: "wait"; readonly ms: number };

const checksum = fc.constantFrom("", "a", "b");

const step: fc.Arbitrary<StreamStep> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("publish"), by: fc.integer({ min: -2, max: 3 }), checksum }),
  },
  { weight: 4, arbitrary: fc.constant<StreamStep>({ kind: "read" }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("wait"), ms: fc.integer({ min: 0, max: 2 * HEARTBEAT_MS }) }),
  },
);

/** The steps of a stream before a test checks the result. */
export const scenario = fc.record({
  firstLcut: fc.integer({ min: 1, max: 5 }),
  firstChecksum: checksum,
  sinceTime: fc.integer({ min: 0, max: 8 }),
  steps: fc.array(step, { maxLength: 30, size: "max" }),
});

export type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

/** A stream of a feed's versions, and a client that reads it when the test asks. */
export class FollowedStream {
  readonly clock = new FakeClock();
  readonly abort = new AbortController();
  readonly held: HeldFeed;
  readonly items: SpecItem[] = [];
  /** When each item arrived, as in `clock.elapsed()`. */
  readonly arrivals: number[] = [];
  isReading = false;
  /** Whether the client reads the next message as soon as it has one. */
  isEager = false;
  /** Whether the relay ended the stream, or an abort. */
  ended: "refused" | "rejected" | undefined;
  /** The version that the relay had when the stream began, which is with its first read. */
  startedWith: Snapshot | undefined;
  readonly #limit = new StreamLimit(1, 90, new SharedCount());
  readonly #items: AsyncGenerator<SpecItem, void, undefined>;

  constructor(firstLcut: number, sinceTime: number, firstChecksum = "") {
    this.held = new HeldFeed(snapshotOf(feedOf("secret-a"), firstLcut, firstChecksum));
    this.#items = this.#follow(sinceTime);
  }

  /** The open streams, as the limit counts them. */
  get open(): number {
    return this.#limit.open;
  }

  get specs(): readonly Snapshot[] {
    return this.items.flatMap((item) => (item.kind === "spec" ? [item.snapshot] : []));
  }

  get specLcuts(): readonly number[] {
    return this.specs.map(({ lcut }) => lcut);
  }

  publish(lcut: number, checksum = ""): void {
    this.held.replace(snapshotOf(this.held.feed, lcut, checksum), { replacesContent: true });
  }

  read(): void {
    if (this.isReading || this.ended !== undefined) return;
    this.isReading = true;
    this.startedWith ??= this.held.snapshot;
    const arrived = (result: IteratorResult<SpecItem, void>) => {
      if (result.done) return;
      this.items.push(result.value);
      this.arrivals.push(this.clock.elapsed());
    };
    const rejected = (error: unknown) => {
      this.ended = error instanceof StatusError ? "refused" : "rejected";
    };
    void this.#items
      .next()
      .then(arrived, rejected)
      .finally(() => {
        this.isReading = false;
        if (this.isEager) this.read();
      });
  }

  async apply(step: StreamStep): Promise<void> {
    if (step.kind === "publish") this.publish(this.held.snapshot.lcut + step.by, step.checksum);
    else if (step.kind === "read") this.read();
    else await this.clock.advance(step.ms);
  }

  /** What a `for await` does that is left early. */
  async leaveOff(): Promise<void> {
    await this.#items.return();
  }

  /** Reads until nothing more arrives. */
  async drain(): Promise<void> {
    for (let reads = 0; reads < 10; reads++) {
      this.read();
      await settle();
      if (this.isReading || this.ended !== undefined) return;
    }
    throw new Error("messages without end, though nothing new was published");
  }

  async *#follow(sinceTime: number): AsyncGenerator<SpecItem, void, undefined> {
    const { held, clock, abort } = this;
    const inFlight = new InFlight(1, new SharedCount(), () => {});
    const finder = new FeedFinder({ held: () => held, ask: () => expect.unreachable() }, inFlight);
    const stream = new SpecStreams({ finder, limit: this.#limit, clock, emit: () => {} }).enter();
    stream.openHeld({ sdkKey: held.feed.sdkKey, version: "v2", sinceTime, headers: () => new Headers() });
    yield* readItems(stream, abort.signal);
  }
}
