import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FAULT_KEY, type Fault, faultEnv } from "../support/common/fault-injection.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { RedisServer } from "../support/redis/redis-server.ts";
import { KeyFile } from "../support/relay/access.ts";
import { CertificateFiles } from "../support/relay/certificate-files.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { Authority } from "../support/relay/pki.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { tlsArgs } from "../support/relay/relay-with-tls.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { problemsOf, reported } from "../support/telemetry/status-report.ts";
import { UdpListener } from "../support/telemetry/udp-listener.ts";
import { UnixDatagramListener } from "../support/telemetry/unix-datagram-listener.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, status } from "../support/upstream/upstream.ts";

const KEY = "secret-unexpected";
const PATIENCE = { withinMs: 20_000, everyMs: 100 };
const UNEXPECTED = "An unexpected error occurred: the relay continues";
const isBinary = process.env["SFP_TEST_BINARY"] !== undefined;

/** No part of a stack, or of what the message must not show. */
function hasNothingToHide(managed: ManagedRelay): void {
  const text = managed.relay.output();
  expect(text).not.toMatch(/^\s+at /m);
  for (const hidden of [FAULT_KEY, "user:pass", "download_config_specs"]) expect(text).not.toContain(hidden);
}

const counted = async (managed: ManagedRelay, component: string): Promise<number> =>
  sumOf(await readMetrics(managed.relay), "UnexpectedError_count_total", { component });

const linesWith = (managed: ManagedRelay, words: string): readonly string[] =>
  managed.relay
    .output()
    .split("\n")
    .filter((line) => line.includes(words));

const serves = (managed: ManagedRelay, lcut: number): Promise<void> =>
  eventually(async () => {
    const answer = await fetch(`${managed.relay.httpUrl}/v2/download_config_specs/${KEY}.json`);
    expect(answer.headers.get("x-since-time")).toBe(String(lcut));
  }, PATIENCE);

const folderOf = (owned: DisposableStack): string => {
  const folder = mkdtempSync(join(tmpdir(), "sfp-unexpected-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

/** A line of either format, as a line of JSON has it. */
function asObject(line: string, format: "text" | "json"): Readonly<Record<string, unknown>> {
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

describe("an error that nothing catches: one line, a metric, a problem of the page; the relay goes on", () => {
  test.each([
    ["uncaught_exception", "throw", "text"],
    ["uncaught_exception", "throw", "json"],
    ["unhandled_rejection", "reject", "text"],
    ["unhandled_rejection", "reject", "json"],
  ] as const)(
    "%s (%s), --log-format %s %s",
    async (task, kind, format) => {
      await using upstream = await startUpstream();
      publishKey(upstream, KEY);
      const args = ["--preload-sdk-keys", KEY, "--log-format", format];
      await using managed = await startManagedRelay({
        upstream,
        args,
        env: faultEnv({ kind, afterMs: 1_500 }),
      });
      const { problems } = await reported(managed, (report) => {
        expect(problemsOf(report)).toContainEqual(["unexpected_error", UNEXPECTED]);
      });
      const { detail } = problems.find((each) => each.kind === "unexpected_error") ?? {};
      expect(detail).toStartWith(`${task}: RangeError: made up at https://cdn.example/… and secret-…`);
      expect(await counted(managed, task)).toBe(1);
      const [line = "", ...more] = linesWith(managed, "unexpected error");
      expect(more).toEqual([]);
      expect(asObject(line, format)).toMatchObject({
        level: "error",
        message: "unexpected error, relay continues",
        task,
        detail: "RangeError: made up at https://cdn.example/… and secret-…",
        at: expect.stringMatching(/^[^/\s]+\/[^/\s]+:\d+:\d+$/),
      });
      hasNothingToHide(managed);
      const { lcut } = publishKey(upstream, KEY, 1);
      await serves(managed, lcut);
      expect(await managed.relay.stop()).toBe(0);
    },
    30_000,
  );

  test("again and again: ten lines a minute at most, each counted", async () => {
    await using upstream = await startUpstream();
    const env = faultEnv(
      { kind: "throw", afterMs: 500, everyMs: 20 },
      { kind: "reject", afterMs: 500, everyMs: 20 },
    );
    await using managed = await startManagedRelay({ upstream, env });
    for (const task of ["uncaught_exception", "unhandled_rejection"]) {
      await eventually(async () => expect(await counted(managed, task)).toBeGreaterThan(50), PATIENCE);
      expect(linesWith(managed, `task=${task}`).length).toBeLessThanOrEqual(10);
    }
    expect(await managed.relay.stop()).toBe(0);
  }, 30_000);

  test("during the start: an exception ends it with one line and exit code 1", async () => {
    using folders = new DisposableStack();
    const args = ["http", "local", "--http-port", "0", "--bind-address", "127.0.0.1"];
    args.push("--local-cache-path", folderOf(folders));
    const env = faultEnv({ kind: "throw", afterMs: 0, sinceWorker: "local-worker" });
    const { exitCode, stderr } = await runRelay(args, env);
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringMatching(/^error: unexpected: RangeError: made up at [^\n]+\n$/),
    ]);
    expect(stderr).not.toContain(FAULT_KEY);
  });
});

// What is patched is found by the names of files and functions, which a compiled executable has not.
describe.skipIf(isBinary)("a task that throws", () => {
  test("a reload: the next one is done", async () => {
    await using upstream = await startUpstream();
    // Within what a reload takes over, after it was read.
    const fault = { kind: "call", api: "AbortController", within: "relay-reload", times: 1 } as const;
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
    await eventually(() => expect(linesWith(managed, "task=config_reload")).toHaveLength(1), PATIENCE);
    managed.relay.signal("SIGHUP");
    await eventually(() => expect(managed.relay.output()).toContain("configuration reloaded"), PATIENCE);
    hasNothingToHide(managed);
  }, 30_000);

  test("sending events: they go out all the same, and its place is free for others", async () => {
    await using upstream = await startUpstream();
    // Of more SDK keys than may be sent for at once.
    const keys = Array.from({ length: 40 }, (_, at) => `${KEY}-${at}`);
    const fault = { kind: "call", api: "Date.now", within: "#sendAll .*courier", times: 40 } as const;
    const env = { ...faultEnv(fault), LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
    const args = ["--log-event-flush-interval-in-ms", "100"];
    await using managed = await startManagedRelay({ upstream, args, env });
    const body = JSON.stringify({ events: [{ eventName: "seen" }] });
    for (const key of keys) {
      const request = { method: "POST", headers: { "statsig-api-key": key }, body };
      expect((await fetch(`${managed.relay.httpUrl}/v1/log_event`, request)).status).toBe(202);
    }
    await eventually(async () => expect(await counted(managed, "event_delivery")).toBe(40), PATIENCE);
    await eventually(() => {
      const sent = upstream.requests.filter(({ path }) => path === "/v1/log_event");
      expect(new Set(sent.map(({ headers }) => headers["statsig-api-key"])).size).toBe(40);
    }, PATIENCE);
    expect(await managed.relay.stop()).toBe(0);
  }, 40_000);

  test("writing a log line: what it was about happens all the same", async () => {
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
  }, 30_000);
});

describe("a Worker that ends is reported, replaced, and costs nothing that was there", () => {
  const post = (managed: ManagedRelay, name: string) =>
    fetch(`${managed.relay.httpUrl}/v1/log_event`, {
      method: "POST",
      headers: { "statsig-api-key": KEY },
      body: JSON.stringify({ events: [{ eventName: name }] }),
    });

  test.each(["throw", "terminate"] as const)(
    "by %s: all four",
    async (how) => {
      await using upstream = await startUpstream();
      publishKey(upstream, KEY);
      using folders = new DisposableStack();
      const [cache, spool] = [folderOf(folders), folderOf(folders)];
      const scripts = ["prepare-worker", "event-worker", "local-worker", "event-spool-worker"];
      const faults = scripts.map((script) => ({ kind: "worker", script, how, afterMs: 1_500 }) as const);
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
      const tasks = ["payload_worker", "event_worker", "local_backup_worker", "event_spool_worker"];
      await eventually(async () => {
        const samples = await readMetrics(managed.relay);
        const ended = tasks.map((component) => [
          component,
          sumOf(samples, "UnexpectedError_count_total", { component }),
        ]);
        expect(ended).toEqual(tasks.map((task) => [task, 1]));
      }, PATIENCE);
      for (const task of tasks) expect(linesWith(managed, `task=${task} `)).toHaveLength(1);
      hasNothingToHide(managed);
      const { lcut } = publishKey(upstream, KEY, 1);
      await serves(managed, lcut);
      expect((await post(managed, "after")).status).toBe(202);
      await eventually(() => {
        const bodies = upstream.requests.filter(({ path }) => path === "/v1/log_event").length;
        expect(bodies).toBeGreaterThan(1);
      }, PATIENCE);
      await managed.relay.kill();
      // The backup had what came after its Worker had ended.
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

describe.skipIf(isBinary)("a loop that throws", () => {
  test("goes on after a delay: said once, counted, a problem as long as it fails", async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const fault = {
      kind: "call",
      api: "AbortSignal.throwIfAborted",
      within: "specs/poller.ts",
      times: 6,
    } as const;
    const args = ["--preload-sdk-keys", KEY];
    await using managed = await startManagedRelay({ upstream, args, env: faultEnv(fault) });
    await reported(managed, (report) => {
      expect(report.state).not.toBe("ok");
      expect(problemsOf(report)).toContainEqual([
        "unexpected_error",
        "Unexpected errors in spec polls: it is retried",
      ]);
    });
    await reported(managed, (report) => expect(report.problems).toEqual([]), PATIENCE.withinMs);
    expect(await counted(managed, "spec_polls")).toBe(6);
    const [begins = "", ends = "", ...more] = linesWith(managed, "background loop");
    expect(begins).toContain("WARN  unexpected error in background loop, retrying loop=spec_polls");
    expect(begins).toContain("at=");
    expect(ends).toContain("INFO  background loop recovered loop=spec_polls");
    expect(more).toEqual([]);
    hasNothingToHide(managed);
    await serves(managed, publishKey(upstream, KEY, 1).lcut);
  }, 40_000);

  test("and goes on throwing ends promptly when the relay stops", async () => {
    await using upstream = await startUpstream();
    const fault = {
      kind: "call",
      api: "AbortSignal.throwIfAborted",
      within: "specs/poller.ts",
      times: 1_000,
    } as const;
    const args = ["--preload-sdk-keys", KEY];
    await using managed = await startManagedRelay({ upstream, args, env: faultEnv(fault) });
    await eventually(async () => expect(await counted(managed, "spec_polls")).toBeGreaterThan(5), PATIENCE);
    expect(await managed.relay.stop()).toBe(0);
  }, 40_000);

  describeWith("openssl", "redis-server")("whichever it is", () => {
    /** Each loop, and a call of its own that throws twice. */
    const LOOPS: Readonly<Record<string, Pick<Extract<Fault, { kind: "call" }>, "api" | "within">>> = {
      backup_upkeep: { api: "AbortController", within: "#round .*backup-keeper" },
      certificate_expiry: { api: "AbortSignal.throwIfAborted", within: "tls/server-tls.ts" },
      event_forwarding: { api: "Date.now", within: "log-events/forwarder.ts" },
      file_watch: { api: "AbortController", within: "#idleFor .*file-watch" },
      id_list_polls: { api: "Math.random", within: "id-lists/manifest-poller.ts" },
      metric_push: { api: "AbortSignal.throwIfAborted", within: "sinks/push-loop.ts" },
      redis_leader_key: { api: "AbortController", within: "#round .*leader-key" },
      redis_subscription: { api: "AbortController", within: "goneSignalOf .*subscriber" },
      request_rates: { api: "AbortSignal.throwIfAborted", within: "status/request-rates.ts" },
      service_manager: { api: "AbortSignal.throwIfAborted", within: "src/service-manager.ts" },
      spec_polls: { api: "AbortSignal.throwIfAborted", within: "specs/poller.ts" },
    };

    test("goes on", async () => {
      await using owned = new AsyncDisposableStack();
      using folders = new DisposableStack();
      const upstream = owned.use(await startUpstream());
      publishKey(upstream, KEY);
      const redis = owned.use(await RedisServer.start());
      const authority = owned.use(new Authority());
      const certificates = owned.use(new CertificateFiles());
      certificates.inPlace(authority.issue(), authority.caPath);
      const allowed = owned.use(new KeyFile([KEY]));
      const agent = owned.use(await UdpListener.start());
      const notify = owned.use(new UnixDatagramListener(join(folderOf(folders), "notify")));
      const faults = Object.values(LOOPS).map((each) => ({ kind: "call", times: 2, ...each }) as const);
      const managed = owned.use(
        await startManagedRelay({
          upstream,
          cache: "redis",
          args: [
            ...tlsArgs(certificates),
            ...["--enforce-tls", "false", "--allowed-sdk-keys", `@${allowed.path}`, "--fleet-polling"],
            ...["--preload-sdk-keys", KEY, "--statsd-logging"],
          ],
          env: {
            ...faultEnv(...faults),
            REDIS_URL: `redis://127.0.0.1:${redis.port}`,
            STATSD_PORT_OVERRIDE: String(agent.port),
            DATADOG_MAX_BATCH_TIME_MS: "500",
            NOTIFY_SOCKET: notify.path,
            LOG_EVENT_STATSIG_ENDPOINT: upstream.url,
          },
        }),
      );
      await fetch(`${managed.relay.httpUrl}/v1/get_id_lists`, {
        method: "POST",
        headers: { "statsig-api-key": KEY },
      });
      await eventually(async () => {
        const samples = await readMetrics(managed.relay);
        const failed = Object.keys(LOOPS).map(
          (component) => [component, sumOf(samples, "UnexpectedError_count_total", { component })] as const,
        );
        expect(Object.fromEntries(failed)).toEqual(
          Object.fromEntries(Object.keys(LOOPS).map((loop) => [loop, 2])),
        );
      }, PATIENCE);
      await eventually(() => {
        const failing = Object.keys(LOOPS).filter((loop) => {
          return linesWith(managed, `recovered loop=${loop} `).length === 0;
        });
        // They ask once a minute.
        expect(failing).toEqual(["id_list_polls"]);
      }, PATIENCE);
      hasNothingToHide(managed);
      // It serves, and takes over what changes.
      await serves(managed, publishKey(upstream, KEY, 1).lcut);
      allowed.write("secret-another");
      await eventually(() => expect(managed.relay.output()).toContain("allowed SDK keys reloaded"), PATIENCE);
      expect(await managed.relay.stop()).toBe(0);
    }, 60_000);
  });
});
