import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { eventually } from "../support/common/wait.ts";
import { IdListRelay } from "../support/id-lists/id-list-relay.ts";
import { IdListUpstream, listed } from "../support/id-lists/id-list-upstream.ts";
import { ConfigFiles } from "../support/relay/config-files.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { ReloadedRelay } from "../support/relay/reloaded-relay.ts";
import { masked, problemsOf, reported } from "../support/telemetry/status-report.ts";

const key = "secret-preloaded-lists";
const other = "secret-added-lists";
const first = listed("acme");

/** Delays each file whose path the test names, until the test releases them. */
function holdBack(upstream: IdListUpstream, isHeld: (path: string) => boolean): () => void {
  const released = Promise.withResolvers<undefined>();
  upstream.fault = ({ path }) => (isHeld(path) ? released.promise : undefined);
  return () => released.resolve(undefined);
}

const threeLists = (upstream: IdListUpstream) => {
  for (const name of ["one", "two", "three"]) upstream.put(key, name, first);
};

async function startPreloaded(upstream: IdListUpstream): Promise<IdListRelay> {
  const values = { "proxy-id-lists": "true", "preload-sdk-keys": key };
  return IdListRelay.start({ upstream, values });
}

describe("a relay with --proxy-id-lists and a preloaded key", () => {
  test("is not ready until the key's lists are on disk, and reports how many are missing", async () => {
    await using upstream = new IdListUpstream();
    threeLists(upstream);
    const release = holdBack(upstream, (path) => path.endsWith("two") || path.endsWith("three"));
    await using relay = await startPreloaded(upstream);
    const reason = `2 of 3 ID lists of ${masked(key)} are not on disk yet`;
    await eventually(async () => expect(await relay.notReady()).toBe(reason));
    release();
    await eventually(async () => expect(await relay.notReady()).toBe(""));
    expect(await relay.onDisk(key)).toEqual(["one", "two", "three"]);
  });

  test("is not ready while upstream sends no manifest, for at most a minute", async () => {
    await using upstream = new IdListUpstream();
    threeLists(upstream);
    upstream.fault = ({ path }) =>
      path === "/v1/get_id_lists" ? new Response("no", { status: 500 }) : undefined;
    await using relay = await startPreloaded(upstream);
    const reason = `the ID lists of ${masked(key)} are not known yet`;
    await eventually(async () => expect(await relay.notReady()).toBe(reason));
    relay.clock.wake(60_000);
    await eventually(async () => expect(await relay.notReady()).toBe(""));
    upstream.fault = () => undefined;
    relay.clock.wake(10_000);
    await eventually(async () => expect((await relay.onDisk(key)).length).toBe(3));
  });

  test("is ready if upstream rejects the key for ID lists", async () => {
    await using upstream = new IdListUpstream();
    await using relay = await startPreloaded(upstream);
    await eventually(async () => expect(await relay.notReady()).toBe(""));
  });

  test("stays ready if a list is added that cannot be fetched, or if files are lost", async () => {
    await using upstream = new IdListUpstream();
    threeLists(upstream);
    await using relay = await startPreloaded(upstream);
    await eventually(async () => expect(await relay.notReady()).toBe(""));
    upstream.put(key, "four", first);
    const release = holdBack(upstream, (path) => path.endsWith("four"));
    await relay.poll();
    await rm(join(relay.folder, "id-lists", "0"), { recursive: true });
    expect(await relay.notReady()).toBe("");
    release();
  });

  test("serves its first clients every list that arrives within 2 s", async () => {
    await using upstream = new IdListUpstream();
    threeLists(upstream);
    const release = holdBack(upstream, (path) => path.startsWith("/files/"));
    await using relay = await startPreloaded(upstream);
    await eventually(() => expect(upstream.rangesAsked()).toHaveLength(3));
    const clients = [relay.onDisk(key), relay.onDisk(key)];
    await Bun.sleep(50);
    release();
    expect(await Promise.all(clients)).toEqual([
      ["one", "two", "three"],
      ["one", "two", "three"],
    ]);
  });
});

test("a relay behind another relay is ready when that one has the lists, and polls it more often until then", async () => {
  await using upstream = new IdListUpstream();
  threeLists(upstream);
  const release = holdBack(upstream, (path) => path.endsWith("two"));
  await using parent = await startPreloaded(upstream);
  await eventually(async () => expect(await parent.onDisk(key)).toEqual(["one", "three"]));
  // An interval that is no time limit of a request: the clock below wakes both.
  const values = { "proxy-id-lists": "true", "preload-sdk-keys": key, "polling-interval-in-s": "37" };
  await using child = await IdListRelay.start({ values, env: { STATSIG_ENDPOINT: parent.url } });
  const reason = `1 of 3 ID lists of ${masked(key)} are not on disk yet`;
  await eventually(async () => expect(await child.notReady()).toBe(reason));
  expect(await child.onDisk(key)).toEqual(["one", "three"]);
  expect(await child.notReady()).toBe(reason);
  release();
  await eventually(async () => expect(await parent.notReady()).toBe(""));
  await eventually(async () => {
    // The poll interval of config specs, and the check for new lists.
    child.clock.wake(37_000, 40_700);
    child.clock.wake(1_000);
    expect(await child.notReady()).toBe("");
  });
  expect(await child.onDisk(key)).toEqual(["one", "two", "three"]);
}, 40_000);

test("a list that upstream lacks is a problem that names it, but does not make the relay unready; it ends with the list", async () => {
  await using upstream = new IdListUpstream();
  threeLists(upstream);
  let isBroken = true;
  upstream.fault = ({ path }) =>
    isBroken && path.endsWith("two") ? new Response("no", { status: 404 }) : undefined;
  const folder = await mkdtemp(join(tmpdir(), "sfp-id-lists-"));
  await using _folder = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
  const options = {
    args: ["--proxy-id-lists", "--preload-sdk-keys", key, "--local-cache-path", folder],
    env: { STATSIG_ENDPOINT: upstream.url },
    // Config specs are stale, which is another problem, after three intervals.
    pollIntervalS: 10,
  };
  {
    await using managed = await startManagedRelay(options);
    const report = await reported(managed, ({ state, problems }) => {
      expect(state).toBe("degraded");
      expect(problems).toHaveLength(1);
    });
    expect(problemsOf(report)).toEqual([["id_lists_failing", "1 ID list is not up to date: two"]]);
    expect(report.problems[0]?.detail).toBe("two: upstream answered 404");
    expect(report.id_lists).toMatchObject({
      state: "failing",
      files: 2,
      bytes: 2 * first.length,
      failing_lists: 1,
      failing: [{ list: "two", detail: "upstream answered 404" }],
    });
  }
  isBroken = false;
  await using managed = await startManagedRelay(options);
  const report = await reported(managed, ({ state, id_lists }) => {
    expect([state, id_lists?.files]).toEqual(["ok", 3]);
  });
  expect(report.id_lists?.state).toBe("ok");
}, 40_000);

test("keys that a reload adds do not make a relay unready", async () => {
  await using upstream = new IdListUpstream();
  threeLists(upstream);
  upstream.put(other, "slow", first);
  const release = holdBack(upstream, (path) => path.includes("slow"));
  const folder = await mkdtemp(join(tmpdir(), "sfp-id-lists-"));
  await using _folder = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
  const settings = { "proxy-id-lists": true, "local-cache-path": folder };
  using files = new ConfigFiles();
  const everywhere = {
    mode: "http",
    cache: "disabled",
    "bind-address": "127.0.0.1",
    "http-port": 0,
    ...settings,
  };
  const path = files.write(stringify({ ...everywhere, "preload-sdk-keys": key }));
  const env = { STATSIG_ENDPOINT: upstream.url };
  const relay = await startRelayProcess({ isBare: true, args: ["--config", path], env });
  await using reloaded = new ReloadedRelay(relay, files, path);
  const ready = async () => (await fetch(`${reloaded.relay.httpUrl}/v1/ready`)).status;
  await eventually(async () => expect(await ready()).toBe(200));
  await reloaded.reload({ ...everywhere, "preload-sdk-keys": `${key},${other}` });
  await eventually(() => expect(upstream.requests.some(({ path }) => path.includes("slow"))).toBe(true));
  // The key's config specs may not have been fetched yet.
  await eventually(async () => expect(await ready()).toBe(200));
  release();
}, 40_000);
