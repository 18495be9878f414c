import { expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { cpu } from "../support/profiling/cloud-profiler-api.ts";
import { startCloudRelay } from "../support/profiling/cloud-relay.ts";
import { decodePprof } from "../support/profiling/decoded-profile.ts";
import {
  evaluated,
  expectTurns,
  GATE_ENV,
  GATE_KEY,
  publishGates,
  publishSwitch,
  turnsOf,
} from "../support/profiling/gate-project.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const { STATSIG_SERVER_SDK_KEY, HOSTNAME } = GATE_ENV;
const env = { STATSIG_SERVER_SDK_KEY, HOSTNAME };

/** Many times as long as the Worker of the gate and the library of Google take to load. */
const INTERVAL_S = 5;
/** And what both take on a busy machine, but less than a third interval. */
const TWO_INTERVALS = { withinMs: 2.8 * INTERVAL_S * 1_000 };
const PATIENT = { withinMs: 20_000 };

test("the gate turns profiling on, off and on again, each within two polling intervals", async () => {
  await using upstream = await startUpstream();
  publishSwitch(upstream, 1, false);
  const options = { upstream, env, isForced: false, pollIntervalS: INTERVAL_S };
  await using managed = await startCloudRelay(options);
  const { relay, api, metadata } = managed;
  publishSwitch(upstream, 2, true);
  await eventually(() => expect(api.held).toBe(1), TWO_INTERVALS);
  api.answer(cpu());
  await eventually(() => expect(api.uploads).toHaveLength(1), PATIENT);
  const [taken] = api.uploads.map(({ bytes }) => decodePprof(bytes));
  expect(taken?.sampleTypes).toContainEqual(["cpu", "nanoseconds"]);

  publishSwitch(upstream, 3, false);
  await expectTurns(relay, ["on 2", "off 3"], TWO_INTERVALS.withinMs);
  // If that took longer than the pause after a profile, there was another wish.
  await eventually(() => expect(api.held).toBe(0), PATIENT);
  const [asked, cancelled] = [api.creates.length, api.cancelled];
  publishSwitch(upstream, 4, true);
  await eventually(() => expect(api.held).toBe(1), TWO_INTERVALS);
  expect(api.creates).toHaveLength(asked + 1);
  // What is waited for is given up at once.
  publishSwitch(upstream, 5, false);
  await eventually(() => expect([api.held, api.cancelled]).toEqual([0, cancelled + 1]), TWO_INTERVALS);
  expect(turnsOf(relay)).toEqual(["on 2", "off 3", "on 4", "off 5"]);
  expect([api.violations, metadata.refused]).toEqual([[], 0]);
}, 120_000);

test("with the flag, profiling stays on whatever the gate says", async () => {
  await using upstream = await startUpstream();
  publishGates(upstream, 1, []);
  const { sdkKey } = publishKey(upstream, "secret-preloaded-0123456789", 1);
  await using managed = await startCloudRelay({ upstream, env, args: ["--preload-sdk-keys", sdkKey] });
  await eventually(() => expect(managed.api.held).toBe(1), PATIENT);
  for (const [number, isOn] of [
    [2, true],
    [3, false],
  ] as const) {
    upstream.forgetRequests();
    publishSwitch(upstream, number, isOn);
    // Another feed is polled in the time in which the gate would be.
    await eventually(() => expect(upstream.count(new RegExp(sdkKey))).toBeGreaterThan(2), PATIENT);
    expect(upstream.count(new RegExp(GATE_KEY))).toBe(0);
  }
  expect([managed.api.held, managed.api.cancelled]).toEqual([1, 0]);
});

test("without such a gate, neither Google nor the metadata server is asked", async () => {
  await using upstream = await startUpstream();
  publishGates(upstream, 1, []);
  await using managed = await startCloudRelay({ upstream, env, isForced: false, args: ["--debug-logging"] });
  const { relay, api, metadata } = managed;
  for (const number of [1, 2]) {
    if (number > 1) publishGates(upstream, number, []);
    await evaluated(relay, number);
  }
  expect([api.creates, metadata.asked, metadata.refused]).toEqual([[], [], 0]);
  // What asks is slower than the line, so that one that asked too early would be found now.
  publishSwitch(upstream, 3, true);
  await eventually(() => expect(api.held).toBe(1), PATIENT);
  expect([api.creates.length, api.cancelled, turnsOf(relay)]).toEqual([1, 0, ["on 3"]]);
  expect(metadata.asked.filter((path) => path === "instance/zone")).toHaveLength(1);
});
