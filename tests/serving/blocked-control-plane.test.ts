import { expect, test } from "bun:test";
import { rawGet } from "../support/clients/raw-get.ts";
import { faultEnv } from "../support/common/fault-injection.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { readMetrics, sumOf } from "../support/telemetry/metrics-page.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

/** Each thread has some of them. */
const MANY = 48;

test("clients are served while the main thread is blocked, and nothing is lost after that", async () => {
  await using upstream = await startUpstream();
  const { sdkKey } = publishKey(upstream, "secret-blocked-0123456789");
  const env = faultEnv({ kind: "block", ms: 3_000, afterMs: "SIGUSR2" });
  const args = ["--serving-threads", "3"];
  await using managed = await startManagedRelay({ upstream, mode: "http", args, env });
  const { relay } = managed;
  const ask = async () =>
    (await rawGet(`${relay.httpUrl}/v2/download_config_specs/${sdkKey}.json`, { connection: "close" }))
      .status;
  expect(await ask()).toBe(200);
  relay.signal("SIGUSR2");
  await Bun.sleep(100);
  let isBlocked = true;
  const management = managed.get("/healthz").then(({ status }) => {
    isBlocked = false;
    return status;
  });
  await Bun.sleep(400);
  const answers = await Promise.all(Array.from({ length: MANY }, ask));
  expect([isBlocked, new Set(answers)]).toEqual([true, new Set([200])]);
  expect(await management).toBe(200);
  expect(relay.output()).not.toContain("serving thread lost");
  expect(sumOf(await readMetrics(relay), "HttpServerRequestSuccess_count_total")).toBe(1 + MANY);
});
