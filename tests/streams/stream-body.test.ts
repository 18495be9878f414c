import { describe, expect, test } from "bun:test";
import { SharedCount } from "../../src/platform/shared-count.ts";
import { InFlight } from "../../src/server/limits.ts";
import type { Snapshot } from "../../src/specs/snapshot.ts";
import { HeldFeed } from "../../src/specs/store.ts";
import { HEARTBEAT_MS } from "../../src/streams/heartbeats.ts";
import type { SharedFrame } from "../../src/streams/lasting-body.ts";
import { FeedFinder } from "../../src/streams/requested-feed.ts";
import { SpecStreams } from "../../src/streams/spec-stream.ts";
import { StatusError, unavailable } from "../../src/streams/status-error.ts";
import { StreamBodies } from "../../src/streams/stream-bodies.ts";
import { StreamLimit } from "../../src/streams/stream-limit.ts";
import { FakeClock, settle } from "../support/common/fake-clock.ts";
import { feedOf, snapshotOf } from "../support/specs/snapshots.ts";

const FEED = feedOf("secret-body");
const version = (lcut: number) => snapshotOf(FEED, lcut);

/** A body whose frames are texts, and a client that takes each frame when the test says so. */
async function openBody({
  isPrepared = true,
  deadlineMs,
}: {
  isPrepared?: boolean;
  deadlineMs?: number;
} = {}) {
  const held = new HeldFeed(version(1));
  const limit = new StreamLimit(1, 90, new SharedCount());
  const finder = new FeedFinder(
    { held: () => held, ask: () => expect.unreachable() },
    new InFlight(1, new SharedCount(), () => {}),
  );
  const clock = new FakeClock();
  const bodies = new StreamBodies(new SpecStreams({ finder, limit, clock, emit: () => {} }));
  const preparing = new Map<Snapshot, PromiseWithResolvers<void>>();
  const prepared = new Set<Snapshot>();
  const gone = new AbortController();
  const { body } = await bodies.open({
    request: { sdkKey: "secret-body", version: "v2", sinceTime: 0, headers: () => new Headers() },
    encoding: {
      prepare: (snapshot) => {
        if (isPrepared || prepared.has(snapshot)) return undefined;
        const made = Promise.withResolvers<void>();
        preparing.set(snapshot, made);
        return made.promise.then(() => void prepared.add(snapshot));
      },
      encode: (item) => [Buffer.from(item.kind === "spec" ? `spec ${item.snapshot.lcut}` : "no update")],
      end: ({ code }) => [Buffer.from(`end ${code}`)],
    },
    signal: gone.signal,
    deadlineMs,
  });
  const received: string[] = [];
  let taking = Promise.withResolvers<void>();
  let isBlocked = false;
  const ended = body.writeTo({
    write: (frame: SharedFrame) => {
      received.push(Buffer.concat(frame).toString());
      return isBlocked ? taking.promise : undefined;
    },
  });
  ended.catch(() => {});
  return {
    ...{ held, limit, clock, bodies, gone, received, ended, preparing },
    block: () => {
      isBlocked = true;
      taking = Promise.withResolvers();
    },
    take: async () => {
      isBlocked = false;
      taking.resolve();
      await settle();
    },
    fail: (error: Error) => taking.reject(error),
  };
}

describe("the body of a stream", () => {
  test("has each version, and a message without news 30 s after the last", async () => {
    const { held, clock, received } = await openBody();
    await settle();
    held.replace(version(2));
    await settle();
    await clock.advance(HEARTBEAT_MS - 1);
    await settle();
    expect(received).toEqual(["spec 1", "spec 2"]);
    await clock.advance(1);
    await settle();
    expect(received).toEqual(["spec 1", "spec 2", "no update"]);
  });

  test("has only the newest of the versions that came while one was being written", async () => {
    const body = await openBody();
    body.block();
    await settle();
    for (const lcut of [2, 3, 4]) body.held.replace(version(lcut));
    await settle();
    expect(body.received).toEqual(["spec 1"]);
    await body.take();
    expect(body.received).toEqual(["spec 1", "spec 4"]);
  });

  test("has only the newest of the versions that came while one was being prepared", async () => {
    const { held, received, preparing } = await openBody({ isPrepared: false });
    await settle();
    const [first] = preparing.keys();
    held.replace(version(2));
    held.replace(version(3));
    if (first !== undefined) preparing.get(first)?.resolve();
    await settle();
    expect([received, [...preparing.keys()].map(({ lcut }) => lcut)]).toEqual([[], [1, 3]]);
    for (const made of preparing.values()) made.resolve();
    await settle();
    expect(received).toEqual(["spec 3"]);
  });

  test("ends after the frame that is being written, and is no longer counted", async () => {
    const body = await openBody();
    body.block();
    await settle();
    body.bodies.endAll(unavailable("bye"));
    body.held.replace(version(2));
    await settle();
    expect([body.received, body.limit.open]).toEqual([["spec 1"], 1]);
    await body.take();
    await body.ended;
    expect([body.received, body.limit.open, body.held.followers]).toEqual([
      ["spec 1", "end unavailable"],
      0,
      0,
    ]);
    expect(
      body.bodies.open({
        request: { sdkKey: "secret-body", version: "v2", sinceTime: 0, headers: () => new Headers() },
        encoding: { prepare: () => undefined, encode: () => [], end: () => [] },
        signal: new AbortController().signal,
      }),
    ).rejects.toThrow(StatusError);
  });

  test.each(["unauthorized", "evicted"] as const)("ends when its feed is %s", async (reason) => {
    const { held, received, ended, limit } = await openBody();
    await settle();
    held.end(reason);
    await ended;
    const code = reason === "evicted" ? "unavailable" : "permission_denied";
    expect([received, limit.open]).toEqual([["spec 1", `end ${code}`], 0]);
  });

  test("ends at its deadline", async () => {
    const { received, ended, limit } = await openBody({ deadlineMs: 20 });
    await ended;
    expect([received.at(-1), limit.open]).toEqual(["end deadline_exceeded", 0]);
  });

  test.each([
    "before its first frame",
    "while a frame is written",
    "while it is idle",
    "while it is prepared",
  ])("is closed when the client goes %s", async (moment) => {
    const body = await openBody({ isPrepared: moment !== "while it is prepared" });
    if (moment === "while a frame is written") body.block();
    if (moment !== "before its first frame") await settle();
    body.gone.abort(new Error("gone"));
    await expect(body.ended).rejects.toThrow("gone");
    expect([body.limit.open, body.held.followers]).toEqual([0, 0]);
    const { length } = body.received;
    for (const made of body.preparing.values()) made.resolve();
    body.held.replace(version(2));
    await body.take();
    expect(body.received.length).toBe(length);
  });

  test("fails, and is closed, if a frame cannot be written or a version cannot be prepared", async () => {
    const unwritten = await openBody();
    unwritten.block();
    await settle();
    unwritten.fail(new Error("broken pipe"));
    await expect(unwritten.ended).rejects.toThrow("broken pipe");
    const unprepared = await openBody({ isPrepared: false });
    await settle();
    for (const made of unprepared.preparing.values()) made.reject(new Error("out of memory"));
    await expect(unprepared.ended).rejects.toThrow("out of memory");
    await settle();
    expect([unwritten.limit.open, unprepared.limit.open]).toEqual([0, 0]);
  });
});
