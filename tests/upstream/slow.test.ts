import { describe, expect, test } from "bun:test";
import { rawGet } from "../support/clients/raw-get.ts";
import { padTo } from "../support/common/padding.ts";
import { eventually } from "../support/common/wait.ts";
import { ThrottledLink } from "../support/redis/throttled-link.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { problemsOf, reported } from "../support/telemetry/status-report.ts";
import { specV2 } from "../support/upstream/payloads.ts";
import { forKey, publishKey, versionOf } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const keysOf = (name: string, count: number) =>
  Array.from({ length: count }, (_, at) => `secret-${name}-${at}`);

const ask = (relay: RelayProcess, sdkKey: string) =>
  rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`);

const lcutOf = async (relay: RelayProcess, sdkKey: string): Promise<number> => {
  const { status: code, headers } = await ask(relay, sdkKey);
  expect(code).toBe(200);
  return Number(headers["x-since-time"]);
};

describe.concurrent("over a slow link", () => {
  test("a payload of 18 MB arrives at a steady 600 kB/s", async () => {
    await using upstream = await startUpstream({ encodings: [] });
    const sdkKey = "secret-large-and-slow";
    const { lcut } = versionOf(sdkKey);
    upstream.publish(sdkKey, "v2", padTo(specV2({ sdkKey, lcut }), 18_000_000), lcut);
    upstream.misbehave({ kind: "drip", chunkBytes: 60_000, everyMs: 100 });
    await using relay = await startRelayProcess({ upstream, args: ["-p", "10"] });
    const served = await eventually(() => lcutOf(relay, sdkKey), { withinMs: 100_000, everyMs: 500 });
    expect(served).toBe(lcut);
    // The first request succeeded.
    expect(upstream.requests.filter(({ query }) => !query.has("sinceTime"))).toHaveLength(1);
  }, 120_000);

  test("25 feeds of 1.7 MB all arrive over a shared 1.2 MB/s", async () => {
    await using upstream = await startUpstream({ encodings: [] });
    const keys = keysOf("shared-link", 25);
    const { lcut } = versionOf("");
    for (const sdkKey of keys) {
      upstream.publish(sdkKey, "v2", padTo(specV2({ sdkKey, lcut }), 1_700_000), lcut);
    }
    await using link = await ThrottledLink.start({
      targetPort: Number(new URL(upstream.url).port),
      bytesPerSecond: 1_200_000,
    });
    await using relay = await startRelayProcess({
      args: ["-p", "10"],
      env: { STATSIG_ENDPOINT: `http://127.0.0.1:${link.port}` },
    });
    const served = await Promise.all(
      keys.map((key) => eventually(() => lcutOf(relay, key), { withinMs: 150_000, everyMs: 500 })),
    );
    expect(new Set(served)).toEqual(new Set([lcut]));
    expect(upstream.requests.filter(({ query }) => !query.has("sinceTime"))).toHaveLength(keys.length);
  }, 180_000);
});

describe("if 70 of 100 keys hang", () => {
  test("the others get their updates, a new key is served, and the 70 recover when upstream responds again", async () => {
    await using upstream = await startUpstream();
    const [working, hanging] = [keysOf("works", 30), keysOf("hangs", 70)];
    for (const key of [...working, ...hanging]) publishKey(upstream, key);
    await using relay = await startRelayProcess({ upstream });
    await Promise.all([...working, ...hanging].map((key) => lcutOf(relay, key)));
    const hangs = new Set(hanging.map((key) => `/v2/download_config_specs/${key}.json`));
    const answerAgain = upstream.misbehave({ kind: "hang" }, { when: ({ path }) => hangs.has(path) });
    // All of them hang by now.
    await eventually(() => expect(upstream.maxInFlight).toBeGreaterThan(60), { withinMs: 30_000 });
    // Behind the requests that hang, a poll would wait for 10 s.
    const patience = { withinMs: 8_000, everyMs: 250 };
    for (const number of [1, 2, 3]) {
      for (const key of working) publishKey(upstream, key, number);
      const { lcut } = versionOf("", number);
      const updated = working.map((key) =>
        eventually(async () => expect(await lcutOf(relay, key)).toBe(lcut), patience),
      );
      const fresh = `secret-fresh-${number}`;
      publishKey(upstream, fresh, number);
      const first = eventually(async () => expect(await lcutOf(relay, fresh)).toBe(lcut), patience);
      await Promise.all([...updated, first]);
    }
    expect(upstream.maxInFlight).toBeLessThanOrEqual(128);
    answerAgain();
    for (const key of hanging) publishKey(upstream, key, 4);
    const { lcut } = versionOf("", 4);
    // Requests that still hang are aborted after 10 s.
    const back = hanging.map((key) =>
      eventually(async () => expect(await lcutOf(relay, key)).toBe(lcut), { withinMs: 40_000, everyMs: 500 }),
    );
    await Promise.all(back);
  }, 150_000);
});

test("a too small -u is reported on the status page, in the log and by metrics, until it is sufficient", async () => {
  await using upstream = await startUpstream();
  const keys = keysOf("crowded", 20);
  for (const key of keys) publishKey(upstream, key);
  await using managed = await startManagedRelay({ upstream, args: ["-u", "1"] });
  const { relay } = managed;
  await Promise.all(keys.map((key) => lcutOf(relay, key)));
  await reported(managed, (calm) => expect(problemsOf(calm)).toEqual([]), 20_000);
  const linesOf = (text: string) => relay.output().split(text).length - 1;
  const before = linesOf("polls delayed beyond the polling interval");
  const hurry = upstream.misbehave({ kind: "none" }, { delayMs: 200 });
  const crowded = await reported(
    managed,
    (each) => expect(each.problems.map(({ kind }) => kind)).toContain("polls_delayed"),
    30_000,
  );
  const problem = crowded.problems.find(({ kind }) => kind === "polls_delayed");
  expect(problem?.text).toContain("(-u)");
  expect(problem?.detail).toMatch(/^a poll waited \d[\d.]* s, the interval is 1 s$/);
  await eventually(() => expect(linesOf("polls delayed beyond the polling interval")).toBe(before + 1));
  expect(sumOf(await readMetrics(relay), "PollWait_latency_sum")).toBeGreaterThan(1_000);
  hurry();
  await reported(
    managed,
    (each) => expect(each.problems.map(({ kind }) => kind)).not.toContain("polls_delayed"),
    30_000,
  );
  await eventually(() => expect(linesOf("polls on time again")).toBe(before + 1));
}, 120_000);

test("Retry-After of 429 and 503 is passed on, and delays the next request for a key that is not held", async () => {
  await using upstream = await startUpstream();
  await using relay = await startRelayProcess({ upstream });
  for (const code of [429, 503]) {
    const sdkKey = `secret-throttled-${code}`;
    publishKey(upstream, sdkKey);
    upstream.misbehave(status(code, "", { "retry-after": "40" }), { ...forKey(sdkKey), times: 1 });
    const first = await ask(relay, sdkKey);
    expect([first.status, first.headers["retry-after"]]).toEqual([503, "40"]);
    expect((await ask(relay, sdkKey)).status).toBe(503);
    expect(upstream.count(`/v2/download_config_specs/${sdkKey}.json`)).toBe(1);
  }
});
