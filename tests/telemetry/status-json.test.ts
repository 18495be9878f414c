import { afterAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import type { FeedStatus } from "../../src/telemetry/status/schema.ts";
import { GrpcClient } from "../support/clients/grpc-client.ts";
import { freePort } from "../support/common/free-port.ts";
import { eventually } from "../support/common/wait.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import { feedOf, masked, problemsOf, reported } from "../support/telemetry/status-report.ts";
import { FIRST_LCUT, publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const KEY = "secret-shown-0123456789abcdef";
afterAll(deleteFolders);

/**
 * A relay whose revoked key made it unready would stay so. On a slow machine it may be unready for a moment, if the polls of the other
 * key take longer than its limit.
 */
const staysReady = (managed: ManagedRelay) =>
  eventually(async () => expect((await managed.get("/readyz")).status).toBe(200), { withinMs: 10_000 });

describe("/status.json", () => {
  test("shows version, source, sizes and clients of each feed", async () => {
    await using upstream = await startUpstream();
    const key = publishKey(upstream, KEY);
    await using managed = await startManagedRelay({ upstream });
    for (let left = 20; left > 0; left--) await ask(managed.relay, KEY);
    await ask(managed.relay, KEY, { "accept-encoding": "statsig-br", "statsig-supports-proto": "true" });
    using client = new GrpcClient(managed.relay.grpcUrl);
    using stream = client.streamConfigSpec({ sdkKey: KEY, version: 2 });
    await stream.next();
    const report = await reported(managed, (each) => {
      expect(feedOf(each, KEY)).toMatchObject({
        state: "fresh",
        last_poll: { outcome: "unchanged" },
        streams: 1,
      });
    });
    const json = feedOf(report, KEY);
    expect(json).toMatchObject({
      sdk_key: masked(KEY),
      lcut: FIRST_LCUT,
      lcut_at: new Date(FIRST_LCUT).toISOString(),
      source: "upstream",
      preloaded: false,
      last_error: null,
      streams: 1,
    });
    expect(json.requests_per_s).toBeGreaterThan(1);
    expect(json.lcut_age_s).toBeCloseTo((Date.parse(report.now) - FIRST_LCUT) / 1_000, 0);
    const gzip = await ask(managed.relay, KEY, { "accept-encoding": "gzip" });
    const br = await ask(managed.relay, KEY, { "accept-encoding": "br" });
    expect(brotliDecompressSync(br.body).toString()).toBe(key.v2);
    expect(json.bytes).toMatchObject({ identity: key.v2.length, gzip: gzip.body.length, br: br.body.length });
    expect(feedOf(report, KEY, { version: "v2", format: "proto" }).bytes).toEqual({
      "statsig-br": key.proto.length,
    });
    expect(report).toMatchObject({
      state: "ok",
      problems: [],
      relay: { mode: "grpc-and-http", cache: "disabled", bun_version: isOnDeno ? "" : Bun.version },
      traffic: { streams: 1, sdk_keys: 1 },
      upstream: { url: upstream.url, state: "ok", polling_interval_s: 1, stale_after_s: 3 },
      redis: null,
      local: null,
      certificate: null,
      feeds_total: 2,
    });
    expect(report.traffic.requests_per_s).toBeGreaterThan(1);
  });

  test("is not cacheable and shows masked keys only; its page loads nothing from other hosts", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    await using managed = await startManagedRelay({ upstream });
    await ask(managed.relay, KEY);
    for (const path of ["/", "/status.json"]) {
      const { status: code, headers, body } = await managed.get(path);
      expect(code).toBe(200);
      expect(headers["cache-control"]).toBe("no-store");
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(body.toString()).not.toContain(KEY);
    }
    const policy = String((await managed.get("/")).headers["content-security-policy"]);
    expect(policy).toStartWith("default-src 'none'; style-src 'sha256-");
    expect(policy).not.toContain("unsafe");
  });

  test("follows an outage: failing, stale, and fresh again, with the last error kept", async () => {
    await using upstream = await startUpstream({ port: await freePort() });
    publishKey(upstream, KEY);
    await using managed = await startManagedRelay({ upstream, pollIntervalS: 2 });
    await ask(managed.relay, KEY);
    await upstream.stop();
    await reported(managed, (each) => expect(each.feeds_by_state).toMatchObject({ failing: 1, fresh: 0 }));
    const stale = await reported(managed, (each) => expect(each.feeds_by_state.stale).toBe(1));
    expect(stale.state).toBe("degraded");
    expect(problemsOf(stale)).toEqual([["stale_feeds", "Serving stale specs: upstream is unreachable"]]);
    const { confirmed_at: confirmedAt, last_error: error, failing_since: since } = feedOf(stale, KEY);
    expect(stale.upstream).toMatchObject({
      state: "failing",
      failing_feeds: 1,
      failing_since: since,
      last_known_good_at: confirmedAt,
      last_error: error,
    });
    expect(error).toMatchObject({ reason: "unreachable" });
    expect(Date.parse(confirmedAt ?? "")).toBeLessThan(Date.parse(since ?? ""));
    await upstream.restart();
    const again = await reported(managed, (each) => expect(each.state).toBe("ok"));
    const feed = feedOf(again, KEY);
    expect(feed).toMatchObject({ state: "fresh", failing_since: null });
    expect(feed.last_error?.reason).toBe("unreachable");
  }, 90_000);

  test("distinguishes a key that upstream rejects from an upstream that fails", async () => {
    await using upstream = await startUpstream();
    for (const key of [KEY, "secret-other"]) publishKey(upstream, key);
    await using managed = await startManagedRelay({ upstream });
    for (const key of [KEY, "secret-other"]) await ask(managed.relay, key);
    upstream.forget(KEY);
    const report = await reported(managed, (each) => expect(feedOf(each, KEY).state).toBe("failing"));
    expect(report.upstream.state).toBe("partly_failing");
    expect(problemsOf(report)).toEqual([
      [
        "keys_unauthorized",
        `Upstream no longer accepts SDK key ${masked(KEY)}: serving the last known config`,
      ],
    ]);
    expect(report.problems[0]).toMatchObject({
      since: feedOf(report, KEY).failing_since,
      detail: "upstream answered 401",
    });
    expect(feedOf(report, KEY).last_poll).toMatchObject({ outcome: "unauthorized" });
    const later = await reported(managed, (each) => expect(feedOf(each, KEY).state).toBe("stale"));
    expect(problemsOf(later)).toEqual(problemsOf(report));
    await upstream.stop();
    const away = await reported(managed, (each) => expect(each.feeds_by_state.stale).toBe(2));
    expect(problemsOf(away)).toEqual([["stale_feeds", "Serving stale specs: upstream is unreachable"]]);
  }, 90_000);

  test("names a preloaded key that upstream revokes with --clear-datastore-on-unauthorized; the relay stays ready", async () => {
    await using upstream = await startUpstream();
    for (const key of [KEY, "secret-other"]) publishKey(upstream, key);
    const args = ["--preload-sdk-keys", `${KEY},secret-other`, "--clear-datastore-on-unauthorized"];
    await using managed = await startManagedRelay({ upstream, args: [...args, "--max-staleness-in-s", "3"] });
    await reported(managed, (each) => expect(each.state).toBe("ok"));
    upstream.forget(KEY);
    const text = `Upstream does not accept SDK key ${masked(KEY)}: no config to serve`;
    await reported(managed, (each) => {
      expect(problemsOf(each)).toEqual([["keys_unauthorized", text]]);
      expect(each.state).toBe("degraded");
    });
    await Bun.sleep(4_000);
    await staysReady(managed);
    publishKey(upstream, KEY);
    await reported(managed, (each) => expect(each.state).toBe("ok"));
  }, 60_000);

  test("names a preloaded key that upstream revokes and still serves it; the relay stays ready, also with --max-staleness-in-s", async () => {
    await using upstream = await startUpstream();
    for (const key of [KEY, "secret-other"]) publishKey(upstream, key);
    const args = ["--preload-sdk-keys", `${KEY},secret-other`, "--max-staleness-in-s", "2"];
    await using managed = await startManagedRelay({ upstream, args });
    await reported(managed, (each) => expect(each.state).toBe("ok"));
    upstream.forget(KEY);
    const text = `Upstream no longer accepts SDK key ${masked(KEY)}: serving the last known config`;
    await reported(managed, (each) => expect(problemsOf(each)).toEqual([["keys_unauthorized", text]]));
    await Bun.sleep(3_500);
    await staysReady(managed);
    expect((await ask(managed.relay, KEY)).status).toBe(200);
  }, 60_000);

  test("shows a preloaded key without data from the start, and why the relay is not ready", async () => {
    await using upstream = await startUpstream();
    upstream.misbehave(status(500));
    await using managed = await startManagedRelay({ upstream, args: ["--preload-sdk-keys", KEY] });
    const report = await reported(managed, (each) => expect(each.feeds_by_state.failing).toBe(2));
    expect(report.state).toBe("not_ready");
    expect(report.problems.map(({ kind, severity }) => [kind, severity])).toEqual([
      ["not_ready", "critical"],
      ["upstream_failing", "warning"],
    ]);
    expect(report.problems[1]?.text).toBe("No config to serve: upstream responds with errors");
    expect(feedOf(report, KEY, { version: "v1", format: "json" })).toMatchObject({
      preloaded: true,
      lcut: null,
      bytes: null,
      source: null,
    });
    expect(feedOf(report, KEY).last_error).toMatchObject({ detail: "upstream answered 500" });
    upstream.behave();
    publishKey(upstream, KEY);
    await reported(managed, (each) => expect(each.state).toBe("ok"));
  });

  test("drops an evicted feed with its polls", async () => {
    await using upstream = await startUpstream();
    for (const key of [KEY, "secret-other"]) publishKey(upstream, key);
    await using managed = await startManagedRelay({ upstream, args: ["-m", "1"] });
    for (const key of [KEY, "secret-other"]) {
      await eventually(async () => expect((await ask(managed.relay, key)).status).toBe(200));
    }
    await reported(managed, (each) => {
      expect(each.feeds.map(({ sdk_key: key }) => key)).toEqual([masked("secret-other")]);
    });
  });

  test("shows at most 1,000 feeds, those with problems first, and counts all", async () => {
    await using upstream = await startUpstream();
    const keys = Array.from({ length: 520 }, (_, at) => `secret-many-${at}`);
    for (const key of keys.slice(1)) publishKey(upstream, key);
    const file = join(newFolder(), "keys");
    await writeFile(file, keys.join("\n"));
    await using managed = await startManagedRelay({
      upstream,
      pollIntervalS: 20,
      args: ["--preload-sdk-keys", `@${file}`],
    });
    const report = await reported(managed, (each) => expect(each.feeds_by_state.fresh).toBe(1_038), 60_000);
    expect([report.feeds_total, report.feeds.length]).toEqual([1_040, 1_000]);
    const first = report.feeds.slice(0, 2).map(({ sdk_key: key, state }: FeedStatus) => [key, state]);
    const missing = masked("secret-many-0");
    expect(first).toEqual([
      [missing, "failing"],
      [missing, "failing"],
    ]);
  }, 90_000);
});
