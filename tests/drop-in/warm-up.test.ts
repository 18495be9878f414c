import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rawGet } from "../support/clients/raw-get.ts";
import { eventually } from "../support/common/wait.ts";
import { testRows } from "../support/drop-in/row.ts";
import { type RelayProcess, startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";
import { WARM_UP_ENTRY_ROWS, WARM_UP_READINESS, WARM_UP_VALUE_ROWS } from "./warm-up.rows.ts";

const warmUp = (value: unknown) => ({ SFP_STARTUP_WARMUP_KEYS_JSON: JSON.stringify(value) });

const readiness = async (relay: RelayProcess) => {
  const { status, body } = await rawGet(`${relay.httpUrl}/v1/ready`);
  return { status, reason: body.toString() };
};

describe("an entry of SFP_STARTUP_WARMUP_KEYS_JSON", () => {
  const stack = new AsyncDisposableStack();
  let upstream: Upstream;
  let relay: RelayProcess;

  beforeAll(async () => {
    upstream = stack.use(await startUpstream());
    for (const { entry } of WARM_UP_ENTRY_ROWS) {
      const { sdk_key: sdkKey = "" } = entry as { sdk_key?: string };
      if (sdkKey !== "") publishKey(upstream, sdkKey.trim());
    }
    const env = warmUp(WARM_UP_ENTRY_ROWS.map(({ entry }) => entry));
    relay = stack.use(await startRelayProcess({ upstream, env, pollIntervalS: 600 }));
    await eventually(() => expect(relay.output()).toContain("warm-up ended"), { withinMs: 20_000 });
  }, 30_000);

  afterAll(() => stack.disposeAsync());

  testRows(WARM_UP_ENTRY_ROWS, ({ entry, fetches, skipped }) => {
    const index = WARM_UP_ENTRY_ROWS.findIndex((row) => row.entry === entry);
    const lines = relay.output().split("\n");
    const line = lines.find((each) => each.includes(`warm-up entry skipped index=${index} `));
    if (skipped === undefined) expect(line).toBeUndefined();
    else expect(line).toMatch(skipped);
    const requests = upstream.requests.map(({ method, url }) => `${method} ${url}`);
    for (const fetched of fetches ?? []) expect(requests).toContain(fetched);
  });

  test("counts in a summary, and nothing else is fetched", () => {
    const valid = WARM_UP_ENTRY_ROWS.filter(({ fetches }) => fetches !== undefined).length;
    const invalid = WARM_UP_ENTRY_ROWS.length - valid;
    expect(relay.output()).toContain(`warm-up begins valid=${valid} invalid=${invalid}`);
    expect(relay.output()).toContain(`warm-up ended fetched=${valid} failed=0`);
    expect(upstream.requests).toHaveLength(WARM_UP_ENTRY_ROWS.flatMap(({ fetches = [] }) => fetches).length);
  });

  test("shows no whole SDK key in the log", () => {
    expect(relay.output()).not.toContain("bogus-warm-and-long-enough");
  });
});

describe("SFP_STARTUP_WARMUP_KEYS_JSON as a whole", () => {
  testRows(WARM_UP_VALUE_ROWS, async ({ value, logs }) => {
    await using relay = await startRelayProcess({ env: { SFP_STARTUP_WARMUP_KEYS_JSON: value } });
    expect((await readiness(relay)).status).toBe(200);
    for (const line of logs) await eventually(() => expect(relay.output()).toMatch(line));
    if (logs.length === 0) expect(relay.output()).not.toContain("warm-up");
    expect(relay.output()).not.toContain("and-long");
  });
});

describe("a warm-up", () => {
  test("takes the name in lower case", async () => {
    await using relay = await startRelayProcess({ env: { sfp_startup_warmup_keys_json: "[]" } });
    await eventually(() => expect(relay.output()).toContain("warm-up begins"));
  });

  testRows([WARM_UP_READINESS], async () => {
    await using upstream = await startUpstream();
    const path = "/v1/download_config_specs";
    publishKey(upstream, "secret-late");
    const asked = Promise.withResolvers<void>();
    upstream.misbehave({ kind: "none" }, { until: asked.promise });
    const env = warmUp([
      { sdk_key: "secret-late", path },
      { sdk_key: "secret-unknown", path },
    ]);
    await using relay = await startRelayProcess({ upstream, env });
    expect(await readiness(relay)).toMatchObject({
      status: 503,
      reason: expect.stringContaining("2 of 2 warm-up entries were not tried yet"),
    });
    asked.resolve();
    await eventually(async () => expect((await readiness(relay)).status).toBe(200), { withinMs: 15_000 });
    await eventually(() => expect(relay.output()).toContain("warm-up ended fetched=1 failed=1"));
  });

  test("counts under -u, and what it fetched is polled on", async () => {
    await using upstream = await startUpstream();
    const keys = Array.from({ length: 12 }, (_, number) => `secret-many-${number}`);
    for (const sdkKey of keys) publishKey(upstream, sdkKey);
    upstream.misbehave({ kind: "none" }, { delayMs: 100 });
    const env = warmUp(keys.map((sdk_key) => ({ sdk_key, path: "/v1/download_config_specs" })));
    await using relay = await startRelayProcess({ upstream, env, args: ["-u", "3"], pollIntervalS: 2 });
    await eventually(() => expect(relay.output()).toContain("fetched=12 failed=0"), { withinMs: 15_000 });
    // Twice as many if some stall, as they may on a busy machine.
    expect(upstream.maxInFlight).toBeLessThanOrEqual(6);
    await eventually(() => expect(upstream.requests.length).toBeGreaterThan(12), { withinMs: 15_000 });
  });
});
