import fc from "fast-check";
import { followSpecs, HEARTBEAT_MS, type SpecItem } from "../../../src/grpc/spec-stream.ts";
import type { Snapshot } from "../../../src/specs/snapshot.ts";
import { HeldFeed } from "../../../src/specs/store.ts";
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
  isReading = false;
  ended: "done" | "rejected" | undefined;
  readonly #items: AsyncGenerator<SpecItem, void, undefined>;

  constructor(firstLcut: number, sinceTime: number, firstChecksum = "") {
    this.held = new HeldFeed(snapshotOf(feedOf("secret-a"), firstLcut, firstChecksum));
    this.#items = followSpecs(this.held, sinceTime, this.clock, this.abort.signal);
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
    const arrived = (result: IteratorResult<SpecItem, void>) => {
      if (result.done) this.ended = "done";
      else this.items.push(result.value);
    };
    const rejected = () => {
      this.ended = "rejected";
    };
    void this.#items
      .next()
      .then(arrived, rejected)
      .finally(() => {
        this.isReading = false;
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
}
