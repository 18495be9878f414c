import { expect, test } from "bun:test";
import fc from "fast-check";
import { SpecAcquirer, type SpecFiles } from "../../src/specs/acquire.ts";
import { SpecRefresher } from "../../src/specs/refresh.ts";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import type { FetchOutcome, SpecSource } from "../../src/specs/source.ts";
import { SpecStore } from "../../src/specs/store.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";
import { instantPreparer } from "../support/specs/spec-flow.ts";

const feed = feedOf("secret-any-order");

type Upstream = { readonly kind: "sends"; readonly lcut: number } | { readonly kind: "fails" | "rejects" };
type Step =
  | { readonly set: "upstream"; readonly to: Upstream }
  | { readonly set: "file"; readonly to: number | undefined }
  | { readonly set: "nothing"; readonly by: "cache_miss" | "poll" };

const lcut = fc.integer({ min: 1, max: 5 });
const upstreamState: fc.Arbitrary<Upstream> = fc.oneof(
  fc.record({ kind: fc.constant("sends" as const), lcut }),
  fc.constantFrom({ kind: "fails" as const }, { kind: "rejects" as const }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ set: fc.constant("upstream" as const), to: upstreamState }),
  fc.record({ set: fc.constant("file" as const), to: fc.option(lcut, { nil: undefined }) }),
  fc.record({ set: fc.constant("nothing" as const), by: fc.constantFrom("cache_miss", "poll") }),
);

/** The real store, refresher and acquirer, with an upstream and a file that change in any order. */
class Flow implements SpecSource, SpecFiles {
  upstream: Upstream = { kind: "fails" };
  file: number | undefined;
  readonly store = new SpecStore({ maxKeys: 10 });
  readonly #acquirer: SpecAcquirer;

  constructor(clearOnUnauthorized: boolean) {
    const { store } = this;
    const clock = new FakeClock();
    const emit = () => {};
    const refresher = new SpecRefresher({
      ...{ source: this, preparer: instantPreparer, store, clock, emit, maxInFlight: 1, maxKeys: 10 },
      ...{ policy: { clearOnUnauthorized }, intervalMs: () => 10_000, signal: new AbortController().signal },
    });
    this.#acquirer = new SpecAcquirer({ refresher, store, clock, emit, files: this, clearOnUnauthorized });
  }

  get held(): Snapshot | undefined {
    return this.store.peek(feed)?.snapshot;
  }

  async acquire(by: "cache_miss" | "poll"): Promise<void> {
    await this.#acquirer.acquire(feed, by);
  }

  async fetchSpecs(_: unknown, { lcut: heldLcut }: { readonly lcut: number }): Promise<FetchOutcome> {
    switch (this.upstream.kind) {
      case "fails":
        return { kind: "failed", cause: "unreachable", detail: "made up" };
      case "rejects":
        return { kind: "unauthorized", status: 401 };
      case "sends": {
        const { lcut: headerLcut } = this.upstream;
        if (heldLcut >= headerLcut) return { kind: "no_update" };
        const body = new TextEncoder().encode(JSON.stringify({ time: headerLcut }));
        return {
          kind: "payload",
          raw: { body, contentEncoding: "", format: "json", headerLcut, sdkKeyHash: "" },
        };
      }
    }
  }

  async recover(): Promise<void> {
    if (this.file === undefined) return;
    this.store.publish({ ...snapshotOf(feed, this.file), source: "bootstrap" }, { replacesContent: true });
  }
}

test("in any order, no version goes back, and a file is served only if upstream has nothing as new", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.boolean(), async (steps, clears) => {
      const flow = new Flow(clears);
      for (const each of steps) {
        const before = flow.held;
        if (each.set === "upstream") flow.upstream = each.to;
        if (each.set === "file") flow.file = each.to;
        await flow.acquire(each.set === "nothing" ? each.by : "poll");
        const { held, upstream, file } = flow;
        const isRejected = upstream.kind === "rejects";
        if (before !== undefined && !isRejected) expect(held?.lcut ?? 0).toBeGreaterThanOrEqual(before.lcut);
        switch (upstream.kind) {
          case "sends":
            expect(held?.lcut).toBe(Math.max(upstream.lcut, before?.lcut ?? 0));
            if (held?.source === "bootstrap") expect(held.lcut).toBeGreaterThan(upstream.lcut);
            break;
          case "rejects":
            expect(held?.source).not.toBe("bootstrap");
            expect(held).toBe(before?.source === "upstream" && !clears ? before : undefined);
            break;
          case "fails":
            // What is held stays. Only if there is nothing, the file counts.
            if (before === undefined) expect(held?.lcut).toBe(file);
            else expect(held).toBe(before);
        }
      }
    }),
    { numRuns: 500 },
  );
});
