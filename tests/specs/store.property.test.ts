import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Feed } from "../../src/specs/feed.ts";
import { type HeldFeed, type PublishOutcome, SpecStore } from "../../src/specs/store.ts";
import { feedOf, sdkKeyOf, snapshotOf } from "../support/specs/snapshots.ts";

const MAX_KEYS = 3;
const PRELOADED = sdkKeyOf("key-0");

type Step =
  | {
      readonly kind: "publish";
      readonly feed: Feed;
      readonly lcut: number;
      readonly checksum: string;
      readonly replacesContent: boolean;
    }
  | { readonly kind: "remove" | "find" | "follow"; readonly feed: Feed }
  | { readonly kind: "unfollow"; readonly which: number };

const feed = fc
  .record({
    key: fc.integer({ min: 0, max: 5 }).map((number) => `key-${number}`),
    version: fc.constantFrom("v1" as const, "v2" as const),
    format: fc.constantFrom("json" as const, "proto" as const),
  })
  .map(({ key, version, format }) => feedOf(key, version, format));

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("publish"),
      feed,
      lcut: fc.nat(9),
      checksum: fc.constantFrom("", "a", "b"),
      replacesContent: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("remove", "find", "follow", "find"), feed }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unfollow"), which: fc.nat() }) },
);

class Follower {
  wakes = 0;
  readonly held: HeldFeed;
  readonly stop: () => void;

  constructor(held: HeldFeed) {
    this.held = held;
    this.stop = held.follow(() => this.wakes++);
  }
}

/** A store, and what its listeners observed. */
class WatchedStore {
  readonly store = new SpecStore({ maxKeys: MAX_KEYS, preloaded: [PRELOADED] });
  readonly added: HeldFeed[] = [];
  readonly removed: HeldFeed[] = [];
  followers: Follower[] = [];
  /** SDK keys, least recently used first. */
  uses: string[] = [];

  constructor() {
    this.store.listen({ added: (held) => this.added.push(held), removed: (held) => this.removed.push(held) });
  }

  get heldKeys(): ReadonlySet<string> {
    return new Set([...this.store.held()].map((held) => held.feed.sdkKey));
  }

  isProtected(sdkKey: string): boolean {
    return sdkKey === PRELOADED || this.followers.some(({ held }) => held.feed.sdkKey === sdkKey);
  }

  #publish({ feed, lcut, checksum, replacesContent }: Step & { readonly kind: "publish" }): PublishOutcome {
    return this.store.publish(snapshotOf(feed, lcut, checksum), { replacesContent });
  }

  apply(step: Step): PublishOutcome | undefined {
    if (step.kind === "unfollow") {
      const [gone] = this.followers.splice(step.which % (this.followers.length || 1), 1);
      gone?.stop();
      gone?.stop();
      return undefined;
    }
    const { feed } = step;
    const isNewKey = !this.heldKeys.has(feed.sdkKey);
    const held = this.store.peek(feed);
    let outcome: PublishOutcome | undefined;
    if (step.kind === "publish") outcome = this.#publish(step);
    else if (step.kind === "remove") this.store.remove(feed, "unauthorized");
    else if (step.kind === "find") this.store.find(feed.sdkKey, feed.version, feed.format);
    else if (held !== undefined) this.followers.push(new Follower(held));
    this.followers = this.followers.filter((follower) => follower.held.ended === undefined);
    const isUse = step.kind === "find" || (outcome === "published" && isNewKey);
    if (isUse) this.uses = [...this.uses.filter((key) => key !== feed.sdkKey), feed.sdkKey];
    this.uses = this.uses.filter((key) => this.heldKeys.has(key));
    return outcome;
  }
}

/** Checks a property after each step of every sequence; the result of `before` is passed to `check`. */
function always<T>(
  before: (watched: WatchedStore, step: Step) => T,
  check: (watched: WatchedStore, seen: T, step: Step, outcome: PublishOutcome | undefined) => void,
): void {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => {
      const watched = new WatchedStore();
      for (const each of steps) {
        const seen = before(watched, each);
        check(watched, seen, each, watched.apply(each));
      }
    }),
    { numRuns: 300 },
  );
}

describe("with any sequence of publish, remove, find, follow and unfollow", () => {
  test("the lcut of a cached feed never decreases", () => {
    always(
      ({ store }) => [...store.held()].map((held) => ({ held, lcut: held.snapshot.lcut })),
      (_, seen) => {
        for (const { held, lcut } of seen) expect(held.snapshot.lcut).toBeGreaterThanOrEqual(lcut);
      },
    );
  });

  test("a newer version is cached at once, as is a later content of the same lcut; anything else is ignored", () => {
    always(
      ({ store }, each) => (each.kind === "publish" ? store.peek(each.feed)?.snapshot : undefined),
      ({ store }, seen, each, outcome) => {
        if (each.kind !== "publish" || outcome === "full") return;
        const isOther = seen?.lcut === each.lcut && seen.checksum !== each.checksum;
        const isContent = isOther && each.replacesContent && seen.checksum !== "" && each.checksum !== "";
        const isNewer = each.lcut > (seen?.lcut ?? -1) || isContent;
        expect(outcome).toBe(isNewer ? "published" : "not_newer");
        expect(store.peek(each.feed)?.snapshot.lcut).toBe(isNewer ? each.lcut : seen?.lcut);
        if (isNewer) expect(store.peek(each.feed)?.snapshot.checksum).toBe(each.checksum);
        else expect(store.peek(each.feed)?.snapshot).toBe(seen);
      },
    );
  });

  test("there are never more keys than allowed, and the count is right", () => {
    always(
      () => undefined,
      (watched) => {
        expect(watched.store.keyCount).toBeLessThanOrEqual(MAX_KEYS);
        expect(watched.store.keyCount).toBe(watched.heldKeys.size);
      },
    );
  });

  test("evicts the least recently used key that is neither preloaded nor followed", () => {
    always(
      (watched) => ({
        candidate: watched.uses.find((key) => !watched.isProtected(key)),
        keys: watched.heldKeys,
        removed: watched.removed.length,
      }),
      (watched, { candidate, keys, removed }, each, outcome) => {
        const evicted = watched.removed.slice(removed).filter(({ ended }) => ended === "evicted");
        const mustMakeRoom = each.kind === "publish" && !keys.has(each.feed.sdkKey) && keys.size === MAX_KEYS;
        const expected = mustMakeRoom && candidate !== undefined ? [candidate] : [];
        expect([...new Set(evicted.map((held) => String(held.feed.sdkKey)))]).toEqual(expected);
        expect(outcome === "full").toBe(mustMakeRoom && candidate === undefined);
      },
    );
  });

  test("each added feed is cached, or was removed once with a reason", () => {
    always(
      () => undefined,
      ({ store, added, removed }) => {
        expect(new Set(added).size).toBe(added.length);
        expect(new Set(removed).size).toBe(removed.length);
        expect(new Set(added.filter((held) => !removed.includes(held)))).toEqual(new Set(store.held()));
        for (const held of added) expect(held.ended !== undefined).toBe(removed.includes(held));
      },
    );
  });

  test("followers are woken by each newer version and by the end only", () => {
    always(
      ({ followers }) =>
        followers.map((follower) => ({ follower, wakes: follower.wakes, snapshot: follower.held.snapshot })),
      (watched, seen) => {
        for (const { follower, wakes, snapshot } of seen) {
          const isNews = follower.held.snapshot !== snapshot || follower.held.ended !== undefined;
          expect(follower.wakes - wakes).toBe(isNews ? 1 : 0);
        }
        for (const held of watched.store.held()) {
          expect(held.isFollowed).toBe(watched.followers.some((follower) => follower.held === held));
        }
      },
    );
  });
});
