import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { FAULT_KEY, faultEnv } from "../support/common/fault-injection.ts";
import { eventually } from "../support/common/wait.ts";
import { decodeForwarded } from "../support/log-events/event-relay.ts";
import {
  counted,
  expectNoSecrets,
  folderOf,
  KEY,
  linesWith,
  serves,
  WAIT,
} from "../support/relay/faulty-relay.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { problemsOf, reported } from "../support/telemetry/status-report.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const UNEXPECTED = "An unexpected error occurred: the relay continues";

/** Parses a log line of either format. */
function parseLine(line: string, format: "text" | "json"): Readonly<Record<string, unknown>> {
  if (format === "json") return JSON.parse(line);
  const [, level, message, fields = ""] =
    /^\S+ (\w+) +(.+?)((?: \w+=(?:"(?:[^"\\]|\\.)*"|\S+))*)$/.exec(line) ?? [];
  const pairs = [...fields.matchAll(/ (\w+)=("(?:[^"\\]|\\.)*"|\S+)/g)];
  const read = (value: string) => (value.startsWith('"') ? JSON.parse(value) : value);
  return {
    level: level?.toLowerCase(),
    message,
    ...Object.fromEntries(pairs.map(([, name, value = ""]) => [name, read(value)])),
  };
}

describe("an uncaught error is a log line, a metric and a problem, and the relay keeps running", () => {
  test.each([
    ["uncaught_exception", "throw", "text"],
    ["uncaught_exception", "throw", "json"],
    ["unhandled_rejection", "reject", "text"],
    ["unhandled_rejection", "reject", "json"],
  ] as const)(
    "%s (%s) with --log-format %s",
    async (task, kind, format) => {
      await using upstream = await startUpstream();
      publishKey(upstream, KEY);
      const args = ["--preload-sdk-keys", KEY, "--log-format", format];
      const env = faultEnv({ kind, afterMs: "SIGUSR2" });
      await using managed = await startManagedRelay({ upstream, args, env });
      managed.relay.signal("SIGUSR2");
      const { problems } = await reported(managed, (report) => {
        expect(problemsOf(report)).toContainEqual(["unexpected_error", UNEXPECTED]);
      });
      const { detail } = problems.find((each) => each.kind === "unexpected_error") ?? {};
      expect(detail).toStartWith(`${task}: RangeError: made up at https://cdn.example/… and secret-…`);
      expect(await counted(managed, task)).toBe(1);
      const [line = "", ...more] = linesWith(managed, "unexpected error");
      expect(more).toEqual([]);
      expect(parseLine(line, format)).toMatchObject({
        level: "error",
        message: "unexpected error, relay continues",
        task,
        detail: "RangeError: made up at https://cdn.example/… and secret-…",
        at: expect.stringMatching(/^[^/\s]+\/[^/\s]+:\d+:\d+$/),
      });
      expectNoSecrets(managed);
      const { lcut } = publishKey(upstream, KEY, 1);
      await serves(managed, lcut);
      expect(await managed.relay.stop()).toBe(0);
    },
    60_000,
  );

  test("logs at most ten lines a minute and counts every error", async () => {
    await using upstream = await startUpstream();
    const env = faultEnv(
      { kind: "throw", afterMs: "SIGUSR1", everyMs: 20 },
      { kind: "reject", afterMs: "SIGUSR2", everyMs: 20 },
    );
    await using managed = await startManagedRelay({ upstream, env });
    for (const signal of ["SIGUSR1", "SIGUSR2"] as const) managed.relay.signal(signal);
    for (const task of ["uncaught_exception", "unhandled_rejection"]) {
      await eventually(async () => expect(await counted(managed, task)).toBeGreaterThan(50), WAIT);
      expect(linesWith(managed, `task=${task}`).length).toBeLessThanOrEqual(10);
    }
    expect(await managed.relay.stop()).toBe(0);
  }, 60_000);

  test("ends the start with one line and exit code 1", async () => {
    using folders = new DisposableStack();
    const args = ["http", "local", "--http-port", "0", "--bind-address", "127.0.0.1"];
    args.push("--local-cache-path", folderOf(folders));
    const env = faultEnv({ kind: "throw", afterMs: 0, sinceWorker: "backup-worker" });
    const { exitCode, stderr } = await runRelay(args, env);
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringMatching(/^error: unexpected: RangeError: made up at [^\n]+\n$/),
    ]);
    expect(stderr).not.toContain(FAULT_KEY);
  });
});

describe("a task that throws", () => {
  test("does not prevent the next reload", async () => {
    await using upstream = await startUpstream();
    // While the parts take over the configuration, after it was read.
    const fault = {
      kind: "call",
      api: "AbortController",
      within: "reconfigure .*relay/relay",
      times: 1,
    } as const;
    using folders = new DisposableStack();
    const file = join(folderOf(folders), "relay.yaml");
    writeFileSync(file, `preload-sdk-keys: ${KEY}\n`);
    publishKey(upstream, KEY);
    publishKey(upstream, `${KEY}-2`);
    await using managed = await startManagedRelay({
      upstream,
      args: ["--config", file],
      env: faultEnv(fault),
    });
    writeFileSync(file, `preload-sdk-keys: ${KEY},${KEY}-2\n`);
    managed.relay.signal("SIGHUP");
    await eventually(() => expect(linesWith(managed, "task=config_reload")).toHaveLength(1), WAIT);
    managed.relay.signal("SIGHUP");
    await eventually(() => expect(managed.relay.output()).toContain("configuration reloaded"), WAIT);
    expectNoSecrets(managed);
  }, 60_000);

  test("does not lose log events and frees its place for other keys", async () => {
    await using upstream = await startUpstream();
    // More SDK keys than requests that are allowed at once.
    const keys = Array.from({ length: 40 }, (_, at) => `${KEY}-${at}`);
    const fault = { kind: "call", api: "Date.now", within: "#sendAll .*log-events", times: 40 } as const;
    const env = { ...faultEnv(fault), LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
    const args = ["--log-event-flush-interval-in-ms", "100"];
    await using managed = await startManagedRelay({ upstream, args, env });
    const body = JSON.stringify({ events: [{ eventName: "seen" }] });
    for (const key of keys) {
      const request = { method: "POST", headers: { "statsig-api-key": key }, body };
      expect((await fetch(`${managed.relay.httpUrl}/v1/log_event`, request)).status).toBe(202);
    }
    await eventually(async () => expect(await counted(managed, "event_delivery")).toBe(40), WAIT);
    await eventually(() => {
      const sent = upstream.requests.filter(({ path }) => path === "/v1/log_event");
      expect(new Set(sent.map(({ headers }) => headers["statsig-api-key"])).size).toBe(40);
    }, WAIT);
    expect(await managed.relay.stop()).toBe(0);
  }, 60_000);

  test("does not affect what the log line is about", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const fault = {
      kind: "call",
      api: "performance.now",
      within: "logging/throttled-log",
      times: 2,
    } as const;
    await using managed = await startManagedRelay({
      upstream,
      args: ["--preload-sdk-keys", KEY],
      env: faultEnv(fault),
    });
    await serves(managed, publishKey(upstream, KEY, 1).lcut);
    expect(await counted(managed, "telemetry")).toBe(2);
    expect(await counted(managed, "spec_polls")).toBe(0);
  }, 60_000);
});

describe("a Worker that ends is reported and replaced, and no data is lost", () => {
  const post = (managed: ManagedRelay, name: string) =>
    fetch(`${managed.relay.httpUrl}/v1/log_event`, {
      method: "POST",
      headers: { "statsig-api-key": KEY },
      body: JSON.stringify({ events: [{ eventName: name }] }),
    });

  test.each(["throw", "terminate"] as const)(
    "all four Workers, by %s",
    async (how) => {
      await using upstream = await startUpstream();
      const first = publishKey(upstream, KEY);
      using folders = new DisposableStack();
      const [cache, spool] = [folderOf(folders), folderOf(folders)];
      const scripts = ["prepare-worker", "event-worker", "backup-worker", "spool-worker"];
      const faults = scripts.map((script) => ({ kind: "worker", script, how, afterMs: "SIGUSR2" }) as const);
      await using managed = await startManagedRelay({
        upstream,
        cache: "local",
        args: [
          ...["--preload-sdk-keys", KEY, "--local-cache-path", cache, "--event-spool-path", spool],
          ...["--log-event-flush-interval-in-ms", "100"],
        ],
        env: { ...faultEnv(...faults), LOG_EVENT_STATSIG_ENDPOINT: upstream.url },
      });
      expect((await post(managed, "before")).status).toBe(202);
      // The last Worker starts with the first version.
      await serves(managed, first.lcut);
      managed.relay.signal("SIGUSR2");
      const tasks = ["payload_worker", "event_worker", "local_backup_worker", "event_spool_worker"];
      await eventually(async () => {
        const samples = await readMetrics(managed.relay);
        const ended = tasks.map((component) => [
          component,
          sumOf(samples, "UnexpectedError_count_total", { component }),
        ]);
        expect(ended).toEqual(tasks.map((task) => [task, 1]));
      }, WAIT);
      for (const task of tasks) expect(linesWith(managed, `task=${task} `)).toHaveLength(1);
      expectNoSecrets(managed);
      const { lcut } = publishKey(upstream, KEY, 1);
      await serves(managed, lcut);
      expect((await post(managed, "after")).status).toBe(202);
      const batches = () =>
        upstream.requests.filter(({ path }) => path === "/v1/log_event").map(decodeForwarded);
      const sent = () => batches().map(({ text }) => text);
      await eventually(() => expect(sent().join()).toMatch(/"before".*"after"/), WAIT);
      await managed.relay.kill();
      // The backup contains the version that came after its Worker had ended.
      upstream.misbehave(status(500));
      await using next = await startManagedRelay({
        upstream,
        cache: "local",
        args: ["--local-cache-path", cache],
      });
      await serves(next, lcut);
    },
    60_000,
  );
});
