import { expect, test } from "bun:test";
import { faultEnv } from "../support/common/fault-injection.ts";
import { eventually } from "../support/common/wait.ts";
import { ask } from "../support/relay/backed-up-relay.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import type { RelayProcess } from "../support/relay/relay-process.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const KEY = "secret-lost-0123456789abcdef";
const LIMIT_MS = 60_000;

/** Longer than a thread may hang before it is replaced. */
const REPLACED = { withinMs: 30_000, everyMs: 100 };

/** The first serving thread hangs on SIGUSR2. */
const HANGING = faultEnv({ kind: "worker", script: "serving-worker", how: "hang", afterMs: "SIGUSR2" });

/** Asks over many connections at once. A status is undefined if there is no response in time. */
function askMany({ httpUrl }: RelayProcess): Promise<readonly (number | undefined)[]> {
  const url = `${httpUrl}/v2/download_config_specs/${KEY}.json`;
  const askOnce = () =>
    fetch(url, { headers: { connection: "close" }, signal: AbortSignal.timeout(1_000) }).then(
      ({ status }) => status,
      () => undefined,
    );
  return Promise.all(Array.from({ length: 24 }, askOnce));
}

test(
  "a thread that hangs does not delay the shutdown beyond the grace period",
  async () => {
    await using upstream = await startUpstream();
    publishKey(upstream, KEY);
    const args = ["--serving-threads", "2"];
    await using managed = await startManagedRelay({ upstream, mode: "http", args, env: HANGING });
    const { relay } = managed;
    await ask(relay, KEY);
    relay.signal("SIGUSR2");
    await eventually(async () => expect(await askMany(relay)).toContain(undefined));
    expect(await relay.stop()).toBe(0);
  },
  LIMIT_MS,
);

test(
  "the relay is not ready while no thread serves a port",
  async () => {
    await using upstream = await startUpstream();
    await using managed = await startManagedRelay({ upstream, mode: "http", env: HANGING });
    expect((await managed.get("/readyz")).status).toBe(200);
    managed.relay.signal("SIGUSR2");
    await eventually(async () => {
      const { status, body } = await managed.get("/readyz");
      expect([status, body.toString()]).toEqual([
        503,
        expect.stringContaining("no thread serves the http port"),
      ]);
    }, REPLACED);
    await eventually(async () => expect((await managed.get("/readyz")).status).toBe(200), REPLACED);
  },
  LIMIT_MS,
);

test("clients are served while the main thread is blocked, and every request is counted after that", async () => {
  await using upstream = await startUpstream();
  publishKey(upstream, KEY);
  const env = faultEnv({ kind: "block", ms: 3_000, afterMs: "SIGUSR2" });
  await using managed = await startManagedRelay({ upstream, mode: "http", env });
  const { relay } = managed;
  await ask(relay, KEY);
  relay.signal("SIGUSR2");
  const management = managed.get("/healthz").then(({ status }) => status);
  await Bun.sleep(500);
  let isBlocked = true;
  void management.then(() => (isBlocked = false));
  const answers = await askMany(relay);
  expect([isBlocked, new Set(answers)]).toEqual([true, new Set([200])]);
  expect(await management).toBe(200);
  expect(relay.output()).not.toContain("serving thread lost");
  const counted = sumOf(await readMetrics(relay), "HttpServerRequestSuccess_count_total");
  expect(counted).toBe(1 + answers.length);
});
