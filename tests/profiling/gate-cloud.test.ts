import { expect, test } from "bun:test";
import { eventually } from "../support/common/wait.ts";
import { cpu } from "../support/profiling/cloud-profiler-api.ts";
import { startCloudRelay } from "../support/profiling/cloud-relay.ts";
import { decodePprof } from "../support/profiling/decoded-profile.ts";
import {
  expectTurns,
  GATE_ENV,
  publishGates,
  publishSwitch,
  turnsOf,
} from "../support/profiling/gate-project.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const { STATSIG_SERVER_SDK_KEY, HOSTNAME } = GATE_ENV;
const env = { STATSIG_SERVER_SDK_KEY, HOSTNAME };

const INTERVAL_MS = 1_000;
/** A second more for a busy machine. */
const SOON = { withinMs: 2 * INTERVAL_MS + 1_000 };

test("the gate turns profiling on, off and on again, each within two polling intervals", async () => {
  await using upstream = await startUpstream();
  publishSwitch(upstream, 1, false);
  await using managed = await startCloudRelay({ upstream, env, isForced: false });
  const { relay, api, metadata } = managed;
  publishSwitch(upstream, 2, true);
  await eventually(() => expect(api.held).toBe(1), SOON);
  api.answer(cpu());
  await eventually(() => expect(api.uploads).toHaveLength(1), { withinMs: 10_000 });
  const [taken] = api.uploads.map(({ bytes }) => decodePprof(bytes));
  expect(taken?.sampleTypes).toContainEqual(["cpu", "nanoseconds"]);

  publishSwitch(upstream, 3, false);
  await expectTurns(relay, ["on 2", "off 3"], SOON.withinMs);
  publishSwitch(upstream, 4, true);
  await eventually(() => expect(api.held).toBe(1), SOON);
  expect(api.creates).toHaveLength(2);
  // What is waited for is given up at once.
  publishSwitch(upstream, 5, false);
  await eventually(() => expect([api.held, api.cancelled]).toEqual([0, 1]), SOON);
  expect(turnsOf(relay)).toEqual(["on 2", "off 3", "on 4", "off 5"]);
  expect([api.violations, metadata.refused]).toEqual([[], 0]);
});

test("with the flag, profiling stays on whatever the gate says", async () => {
  await using upstream = await startUpstream();
  publishGates(upstream, 1, []);
  await using managed = await startCloudRelay({ upstream, env });
  await eventually(() => expect(managed.api.held).toBe(1), SOON);
  publishSwitch(upstream, 2, true);
  publishSwitch(upstream, 3, false);
  expect(upstream.requests).toEqual([]);
  expect([managed.api.held, managed.api.cancelled]).toEqual([1, 0]);
});

test("without such a gate, neither Google nor the metadata server is asked", async () => {
  await using upstream = await startUpstream();
  publishGates(upstream, 1, []);
  await using managed = await startCloudRelay({ upstream, env, isForced: false, args: ["--debug-logging"] });
  const { relay, api, metadata } = managed;
  await eventually(() => expect(relay.output()).toContain("profiling gate evaluated"));
  publishGates(upstream, 2, []);
  await eventually(() => expect(relay.output().match(/profiling gate evaluated/g)).toHaveLength(2));
  expect([api.creates, metadata.asked, metadata.refused]).toEqual([[], [], 0]);
});
