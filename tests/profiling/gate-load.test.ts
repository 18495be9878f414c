import { expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Stalls } from "../support/common/stalls.ts";
import { eventually, within } from "../support/common/wait.ts";
import {
  expectTurns,
  GATE_ENV,
  GATE_KEY,
  gateOf,
  gateSpecs,
  PROFILING_GATE,
  publishSwitch,
  slowGate,
} from "../support/profiling/gate-project.ts";
import { startManagedRelay } from "../support/relay/managed-relay.ts";
import { isOnDeno } from "../support/relay/runtime.ts";
import { lcutOf } from "../support/upstream/gate-versions.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

/** Each rule takes about a second: on Bun that is as long as a pattern is tried, and on Deno it doubles with each letter. */
const LETTERS = isOnDeno ? 25 : 40;
const SLOW_RULES = 2;
/** Longer than an evaluation may take, and the stop of a relay here. */
const ENDLESS_RULES = 100;

const PATIENT = { withinMs: 20_000 };

const slowEnv = { ...GATE_ENV, HOSTNAME: `${"a".repeat(LETTERS)}!` };

/** Publishes 5 MB of config specs with a gate that takes seconds to evaluate, and is on. */
function publishLarge(upstream: Upstream, number: number, rules: number): void {
  const specs = gateSpecs(number, [slowGate(PROFILING_GATE, rules)]);
  for (let at = 0; at < 12_000; at++) specs.feature_gates.push(gateOf(`gate_${at}`));
  const text = JSON.stringify(specs);
  expect(text.length).toBeGreaterThan(5_000_000);
  upstream.publish(GATE_KEY, "v1", text, Number(specs["time"]));
}

test("5 MB of config specs and a slow gate delay neither clients nor probes", async () => {
  await using upstream = await startUpstream();
  publishSwitch(upstream, 1, false);
  await using managed = await startManagedRelay({ upstream, mode: "http", env: slowEnv });
  const { relay, url } = managed;
  const specs = `${relay.httpUrl}/v1/download_config_specs/${GATE_KEY}.json`;
  const servedLcut = async () => Number((await fetch(specs)).headers.get("x-since-time"));
  await eventually(async () => expect(await servedLcut()).toBe(lcutOf(1)), PATIENT);
  publishLarge(upstream, 2, SLOW_RULES);
  const turned = expectTurns(relay, ["on 2"], 60_000);
  let isOver = false;
  const ended = turned.finally(() => (isOver = true));
  ended.catch(() => undefined);
  // The relay stands still as well if the whole machine does.
  using own = new Stalls();
  /** When the version was served first, and its gate was being evaluated. */
  let startedAt: number | undefined;
  let longestMs = 0;
  while (!isOver) {
    const askedAt = performance.now();
    const replies = await Promise.all([fetch(`${url}/readyz`), fetch(specs, { method: "HEAD" })]);
    expect(replies.map(({ status }) => status)).toEqual([200, 200]);
    longestMs = Math.max(longestMs, performance.now() - askedAt);
    if (replies[1].headers.get("x-since-time") === String(lcutOf(2))) startedAt ??= performance.now();
    await sleep(5);
  }
  await ended;
  const tookMs = performance.now() - (startedAt ?? Number.NaN);
  expect(longestMs - own.longestMs).toBeLessThan(tookMs / 2);
}, 90_000);

test("a relay that is stopped while the gate is evaluated ends at once", async () => {
  await using upstream = await startUpstream();
  publishLarge(upstream, 1, ENDLESS_RULES);
  const args = ["--shutdown-grace-in-s", "60"];
  await using managed = await startManagedRelay({ upstream, mode: "http", env: slowEnv, args });
  await eventually(() => expect(managed.relay.output()).toContain("config specs loaded"), PATIENT);
  expect(await within(managed.relay.stop(), 15_000, "the relay to end")).toBe(0);
  expect(managed.relay.output()).not.toContain("gate");
});
