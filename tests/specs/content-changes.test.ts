import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { FetchOutcome } from "../../src/specs/source.ts";
import { version } from "../support/specs/scripted-source.ts";
import { feedOf } from "../support/specs/snapshots.ts";
import { POLL_INTERVAL_MS, specFlow } from "../support/specs/spec-flow.ts";

const feed = feedOf("secret-of-content");

const MINUTE_MS = 60_000;
/** More than an interval with its jitter. */
const ONE_POLL_MS = 1.2 * POLL_INTERVAL_MS;

const NO_UPDATE: FetchOutcome = { kind: "no_update" };

/** A relay that polls, and an upstream that has one content of each lcut at a time. */
class ContentFlow implements AsyncDisposable {
  readonly flow = specFlow();
  lcut = 5;
  checksum = "a";
  /** Whether upstream compares lcut and checksum with those of the request. Otherwise it sends its version each time. */
  comparesVersions = true;
  /** Called with each request; may change what upstream has. */
  asked = () => {};

  constructor() {
    this.flow.source.answer(feed, (sinceTime, _signal, _progressed, checksum) => {
      this.asked();
      const isOther = sinceTime === this.lcut && checksum !== "" && checksum !== this.checksum;
      const isNews = this.lcut > sinceTime || isOther || !this.comparesVersions;
      return isNews ? version(this.lcut, this.checksum) : NO_UPDATE;
    });
  }

  async start(): Promise<this> {
    await this.flow.cacheMiss(feed);
    return this;
  }

  get held() {
    const { lcut, checksum } = this.flow.store.peek(feed)?.snapshot ?? expect.unreachable();
    return { lcut, checksum };
  }

  /** The updates, without the first version. */
  get updates() {
    const updates = this.flow.events.filter((event) => event.kind === "spec_updated");
    return updates
      .slice(1)
      .map(({ snapshot, previousLcut }) => [previousLcut, snapshot.lcut, snapshot.checksum]);
  }

  /** What the requests named. */
  get requested() {
    return this.flow.source.asked.map(({ sinceTime, checksum }) => [sinceTime, checksum]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.flow[Symbol.asyncDispose]();
  }
}

describe("another content with the cached lcut", () => {
  test("is requested by lcut and checksum, and held at once", async () => {
    await using upstream = await new ContentFlow().start();
    await upstream.flow.clock.advance(ONE_POLL_MS);
    upstream.checksum = "b";
    await upstream.flow.clock.advance(2 * ONE_POLL_MS);
    expect(upstream.requested.slice(0, 2)).toEqual([
      [0, ""],
      [5, "a"],
    ]);
    expect(upstream.requested.at(-1)).toEqual([5, "b"]);
    expect(upstream.held).toEqual({ lcut: 5, checksum: "b" });
    expect(upstream.updates).toEqual([[5, 5, "b"]]);
  });

  test("confirms the held version only when upstream sends the same content again", async () => {
    await using upstream = await new ContentFlow().start();
    upstream.comparesVersions = false;
    await upstream.flow.clock.advance(10 * POLL_INTERVAL_MS);
    expect(upstream.updates).toEqual([]);
    const { confirmedAt = 0 } = upstream.flow.store.peek(feed) ?? {};
    expect(upstream.flow.clock.now() - confirmedAt).toBeLessThanOrEqual(ONE_POLL_MS);
  });

  test("is ignored if one of the two has no checksum", async () => {
    await using upstream = await new ContentFlow().start();
    upstream.comparesVersions = false;
    upstream.checksum = "";
    await upstream.flow.clock.advance(5 * POLL_INTERVAL_MS);
    expect(upstream.held).toEqual({ lcut: 5, checksum: "a" });
    expect(upstream.updates).toEqual([]);
  });

  test("may be undone and done again at once", async () => {
    await using upstream = await new ContentFlow().start();
    for (const checksum of ["b", "a", "b", "a", "c"]) {
      upstream.checksum = checksum;
      await upstream.flow.clock.advance(ONE_POLL_MS);
      expect(upstream.held).toEqual({ lcut: 5, checksum });
    }
  });

  test("is held last, and no lcut decreases, after any changes of upstream", async () => {
    const change = fc.record({
      lcut: fc.integer({ min: 1, max: 4 }),
      checksum: fc.constantFrom("a", "b", "c"),
      comparesVersions: fc.boolean(),
      waitMs: fc.integer({ min: 0, max: 30 * MINUTE_MS }),
    });
    const property = fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (changes) => {
      await using upstream = new ContentFlow();
      upstream.lcut = 1;
      await upstream.start();
      for (const { waitMs, ...each } of changes) {
        Object.assign(upstream, each);
        const before = upstream.held.lcut;
        await upstream.flow.clock.advance(waitMs);
        expect(upstream.held.lcut).toBeGreaterThanOrEqual(before);
      }
      await upstream.flow.clock.advance(10 * MINUTE_MS + 2 * ONE_POLL_MS);
      if (upstream.lcut < upstream.held.lcut) return;
      expect(upstream.held).toEqual({ lcut: upstream.lcut, checksum: upstream.checksum });
    });
    await fc.assert(property, { numRuns: 40 });
  }, 60_000);
});

describe("after returns to earlier contents", () => {
  /** Makes the next return wait. */
  async function returnOften(): Promise<ContentFlow> {
    const upstream = await new ContentFlow().start();
    for (const checksum of ["b", "a", "b", "a"]) {
      upstream.checksum = checksum;
      // The second poll names what the first one got.
      await upstream.flow.clock.advance(2 * ONE_POLL_MS);
    }
    return upstream;
  }

  test("upstream is asked by lcut alone from the first content that waits until the wait is over", async () => {
    await using upstream = await returnOften();
    expect(upstream.requested.at(-1)).toEqual([5, "a"]);
    upstream.checksum = "b";
    await upstream.flow.clock.advance(2 * ONE_POLL_MS);
    expect(upstream.held.checksum).toBe("a");
    expect(upstream.requested.at(-1)).toEqual([5, ""]);
    await upstream.flow.clock.advance(MINUTE_MS);
    expect(upstream.held.checksum).toBe("b");
    await upstream.flow.clock.advance(ONE_POLL_MS);
    // Nothing waits now, so that a new content is found at once.
    expect(upstream.requested.at(-1)).toEqual([5, "b"]);
  });

  test("nothing waits once the feed was dropped", async () => {
    await using upstream = await returnOften();
    upstream.flow.store.remove(feed, "evicted");
    await upstream.start();
    upstream.checksum = "b";
    await upstream.flow.clock.advance(ONE_POLL_MS);
    upstream.checksum = "a";
    await upstream.flow.clock.advance(ONE_POLL_MS);
    expect(upstream.held.checksum).toBe("a");
  });
});

describe.each([
  ["compares lcut and checksum", true],
  ["sends its version each time", false],
])("an upstream whose servers have different contents of one lcut, and which %s", (_, comparesVersions) => {
  const HOURS = 5;

  /** Each request reaches the next server. */
  async function alternating(checksums: readonly string[]): Promise<ContentFlow> {
    const upstream = new ContentFlow();
    let requests = 0;
    upstream.comparesVersions = comparesVersions;
    upstream.asked = () => {
      upstream.checksum = checksums[requests++ % checksums.length] ?? "";
    };
    return upstream.start();
  }

  test.each([2, 3])("changes what is served ever more rarely (%d contents)", async (servers) => {
    await using upstream = await alternating(["a", "b", "c"].slice(0, servers));
    await upstream.flow.clock.advance(HOURS * 60 * MINUTE_MS);
    expect(upstream.flow.source.count(feed)).toBeGreaterThan(HOURS * 300);
    // Once in ten minutes, after the first ones.
    expect(upstream.updates.length).toBeWithin(HOURS * 5, HOURS * 6 + 10);
  });

  test("cannot change what is served with each response by new checksums either", async () => {
    await using upstream = await new ContentFlow().start();
    upstream.comparesVersions = comparesVersions;
    let requests = 0;
    upstream.asked = () => {
      upstream.checksum = `content ${requests++}`;
    };
    await upstream.flow.clock.advance(HOURS * 60 * MINUTE_MS);
    expect(upstream.updates.length).toBeWithin(10, HOURS * 6 + 40);
  });

  test("has a content that the relay never had taken at once, and a newer version too", async () => {
    await using upstream = await alternating(["a", "b"]);
    await upstream.flow.clock.advance(60 * MINUTE_MS);
    upstream.asked = () => {};
    upstream.checksum = "c";
    // One that compares is asked by lcut alone for up to ten minutes.
    await upstream.flow.clock.advance(ONE_POLL_MS + (comparesVersions ? 10 * MINUTE_MS : 0));
    expect(upstream.held.checksum).toBe("c");
    Object.assign(upstream, { lcut: 6, checksum: "a" });
    await upstream.flow.clock.advance(ONE_POLL_MS);
    expect(upstream.held).toEqual({ lcut: 6, checksum: "a" });
  });

  test("does not send the waiting content with each response", async () => {
    await using upstream = await alternating(["a", "b"]);
    await upstream.flow.clock.advance(30 * MINUTE_MS);
    const before = upstream.requested.length;
    await upstream.flow.clock.advance(60 * MINUTE_MS);
    const withChecksum = upstream.requested.slice(before).filter(([, checksum]) => checksum !== "");
    // The first request after each wait and those that show that the next one has begun.
    expect(withChecksum.length).toBeWithin(4, 40);
  });
});
