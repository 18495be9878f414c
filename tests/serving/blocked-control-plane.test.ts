import { afterAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { rawGet } from "../support/clients/raw-get.ts";
import { faultEnv } from "../support/common/fault-injection.ts";
import { eventually } from "../support/common/wait.ts";
import { type ManagedRelay, startManagedRelay } from "../support/relay/managed-relay.ts";
import { deleteFolders, newFolder } from "../support/sqlite/local-backups.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

/** Each thread has some of them. */
const MANY = 48;

afterAll(deleteFolders);

/** Sends probes until one gets no response for a while, and returns that one. */
async function findUnanswered(managed: ManagedRelay) {
  for (;;) {
    const probe = { isAnswered: false, status: 0 };
    const answered = managed
      .get("/healthz")
      .then(({ status }) => Object.assign(probe, { isAnswered: true, status }));
    await Promise.race([answered, Bun.sleep(300)]);
    if (!probe.isAnswered) return { probe, answered };
  }
}

test("clients are served while the main thread is blocked, and nothing is lost after that", async () => {
  await using upstream = await startUpstream();
  const { sdkKey } = publishKey(upstream, "secret-blocked-0123456789");
  const untilFile = join(newFolder(), "go-on");
  const env = faultEnv({ kind: "block", untilFile, maxMs: 20_000, afterMs: "SIGUSR2" });
  const args = ["--serving-threads", "3"];
  await using managed = await startManagedRelay({ upstream, mode: "http", args, env });
  const { relay } = managed;
  const ask = async () =>
    (await rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`, { connection: "close" }))
      .status;
  expect(await ask()).toBe(200);
  relay.signal("SIGUSR2");
  const { probe, answered } = await findUnanswered(managed);
  const answers = await Promise.all(Array.from({ length: MANY }, ask));
  expect([probe.isAnswered, new Set(answers)]).toEqual([false, new Set([200])]);
  writeFileSync(untilFile, "");
  expect((await answered).status).toBe(200);
  expect(relay.output()).not.toContain("serving thread lost");
  await eventually(
    async () =>
      expect(sumOf(await readMetrics(relay), "HttpServerRequestSuccess_count_total")).toBe(1 + MANY),
    { withinMs: 15_000 },
  );
}, 60_000);
