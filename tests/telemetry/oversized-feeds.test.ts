import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { OversizedFeeds } from "../../src/telemetry/status/oversized-feeds.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { FakeClock } from "../support/common/fake-clock.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { feedOf as makeFeed } from "../support/specs/snapshots.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { feedOf, masked, problemsOf, reported } from "../support/telemetry/status-report.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { FIRST_LCUT } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const PATIENCE = { withinMs: 15_000 };
const SMALL = 10_000;
const LARGE = 1_200_000;
const TOO_LARGE = "config spec too large for gRPC clients, refusing them";
const FITS = "config spec no longer too large for gRPC clients";

describe("a feed that is too large for gRPC clients", () => {
  const resources = new AsyncDisposableStack();
  let upstream: Upstream;
  let managed: ManagedRelay;
  beforeAll(async () => {
    upstream = resources.use(await startUpstream());
    const args = ["--grpc-max-message-size-in-mb", "1", "-m", "2"];
    managed = resources.use(await startManagedRelay({ upstream, args }));
  });
  afterAll(() => resources.disposeAsync());

  const publish = (sdkKey: string, number: number, bytes: number): void => {
    const lcut = FIRST_LCUT + number;
    upstream.publish(sdkKey, "v2", JSON.stringify(padTo(specV2({ lcut, sdkKey }), bytes)), lcut);
  };
  const linesOf = (message: string, sdkKey: string): readonly string[] =>
    managed.relay
      .output()
      .split("\n")
      .filter((line) => line.includes(message) && line.includes(masked(sdkKey)));
  const gauge = async () => sumOf(await readMetrics(managed.relay), "GrpcFeedsTooLarge_gauge");
  /** Opens a stream until the relay refuses it, which is at most a poll later. */
  const refuse = async (sdkKey: string): Promise<void> => {
    using client = new GrpcClient(managed.relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey, version: 2 });
    expect((await stream.status(20_000)).details).toContain("too large for gRPC");
  };

  test("is said once, however many clients are refused and versions follow, until it fits again", async () => {
    const sdkKey = "secret-too-large-0123456789abcdef";
    publish(sdkKey, 0, LARGE);
    for (let i = 0; i < 3; i++) await refuse(sdkKey);
    const problem = [
      "feeds_too_large_for_grpc",
      "gRPC clients do not get the newest version of 1 feed: too large",
    ];
    const report = await reported(managed, (each) => expect(problemsOf(each)).toEqual([problem]));
    const feed = feedOf(report, sdkKey);
    expect(feed).toMatchObject({ state: "fresh", streams: 0, lcut: FIRST_LCUT });
    expect(report.state).toBe("degraded");
    expect(report.problems[0]).toMatchObject({
      severity: "warning",
      since: feed.too_large_for_grpc_since,
      detail: expect.stringMatching(
        /^feed secret-too\S+ v2\/json has 1200\d{3} bytes, more than --grpc-max-message-size-in-mb: let its clients poll over HTTP$/,
      ),
    });
    expect(await gauge()).toBe(1);
    await eventually(async () => {
      expect(sumOf(await readMetrics(managed.relay), "GrpcStreamRefused_count_total")).toBe(3);
    }, PATIENCE);

    publish(sdkKey, 1, LARGE + 1_000);
    await reported(managed, (each) => expect(feedOf(each, sdkKey).lcut).toBe(FIRST_LCUT + 1));
    await refuse(sdkKey);
    const later = await reported(managed, (each) => expect(problemsOf(each)).toEqual([problem]));
    expect(feedOf(later, sdkKey).too_large_for_grpc_since).toBe(feed.too_large_for_grpc_since);
    expect(linesOf(TOO_LARGE, sdkKey)).toHaveLength(1);
    expect(linesOf(TOO_LARGE, sdkKey)[0]).toMatch(
      / WARN +config spec too large .* bytes=1200\d{3} option=--grpc-max-message-size-in-mb detail="SDKs accept at most 4 MiB: let them poll over HTTP"$/,
    );

    publish(sdkKey, 2, SMALL);
    const fits = await reported(managed, (each) => expect(each.problems).toEqual([]));
    expect(feedOf(fits, sdkKey).too_large_for_grpc_since).toBeNull();
    expect(await gauge()).toBe(0);
    await eventually(() => expect(linesOf(FITS, sdkKey)).toHaveLength(1), PATIENCE);

    using client = new GrpcClient(managed.relay.grpcUrl);
    using open = client.streamConfigSpec({ sdkKey, version: 2 });
    await open.next();
    publish(sdkKey, 3, LARGE);
    expect((await open.status(20_000)).details).toContain("too large for gRPC");
    await eventually(() => expect(linesOf(TOO_LARGE, sdkKey)).toHaveLength(2), PATIENCE);
    expect(await gauge()).toBe(1);
  }, 90_000);

  test("is not said while clients get it over HTTP only, nor after it was evicted", async () => {
    const sdkKey = "secret-large-over-http-0123456789";
    publish(sdkKey, 0, LARGE);
    expect((await ask(managed.relay, sdkKey)).status).toBe(200);
    const before = await gauge();
    const report = await managed.status();
    expect(feedOf(report, sdkKey).too_large_for_grpc_since).toBeNull();
    expect(linesOf(TOO_LARGE, sdkKey)).toEqual([]);

    await refuse(sdkKey);
    await eventually(async () => expect(await gauge()).toBe(before + 1), PATIENCE);
    for (const other of ["secret-evicting-one", "secret-evicting-two"]) {
      publish(other, 0, SMALL);
      expect((await ask(managed.relay, other)).status).toBe(200);
    }
    await eventually(async () => expect(await gauge()).toBe(0), PATIENCE);
    await reported(managed, (each) => expect(each.problems).toEqual([]));
  }, 60_000);
});

describe("the feeds that are too large", () => {
  const feed = makeFeed("secret-of-a-large-feed");
  const other = makeFeed("secret-of-another-feed");

  test("are forgotten half an hour after the last client was refused, and listed the longest refused first", async () => {
    const clock = new FakeClock();
    const feeds = new OversizedFeeds(clock);
    expect(feeds.add(feed, 5_000_000)).toBe(true);
    const since = clock.now();
    await clock.advance(20 * 60_000);
    expect(feeds.add(other, 6_000_000)).toBe(true);
    expect(feeds.add(feed, 7_000_000)).toBe(false);
    expect(feeds.list()).toEqual([
      expect.objectContaining({ feed, bytes: 7_000_000, since }),
      expect.objectContaining({ feed: other, bytes: 6_000_000, since: clock.now() }),
    ]);
    await clock.advance(20 * 60_000);
    expect(feeds.add(feed, 7_000_000)).toBe(false);
    await clock.advance(10 * 60_000);
    expect(feeds.list().map((each) => each.feed)).toEqual([feed]);
    expect(feeds.find(other)).toBeUndefined();
    await clock.advance(20 * 60_000);
    expect(feeds.list()).toEqual([]);
    expect(feeds.add(feed, 7_000_000)).toBe(true);
  });

  test("do not include one whose newest version fits by the time that another thread reports a refusal", () => {
    const feeds = new OversizedFeeds(new FakeClock());
    let isTooLarge = true;
    feeds.checkedBy(() => isTooLarge);
    expect(feeds.add(feed, 5_000_000)).toBe(true);
    expect(feeds.update(feed)).toBe(false);
    isTooLarge = false;
    expect(feeds.list()).toEqual([]);
    expect(feeds.update(feed)).toBe(true);
    expect(feeds.update(feed)).toBe(false);
    expect(feeds.add(feed, 5_000_000)).toBe(false);
    expect(feeds.find(feed)).toBeUndefined();
  });
});
