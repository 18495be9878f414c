import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  GATE_ENV as env,
  GATE_KEY,
  gateOf,
  hasCustomId,
  isInList,
  PROFILING_GATE,
  publishGates,
} from "../support/profiling/gate-project.ts";
import { expectProblem, problemsOf } from "../support/relay/doctor.ts";
import { runRelay } from "../support/relay/run-relay.ts";
import { startUpstream, type Upstream } from "../support/upstream/upstream.ts";

const NAME = "profiling gate";

let upstream: Upstream;
beforeAll(async () => {
  upstream = await startUpstream();
});
afterAll(() => upstream[Symbol.asyncDispose]());

const problems = (args: readonly string[] = []) => problemsOf(upstream, args, env);

/** Returns the line of the check. */
async function lineOf(given: Readonly<Record<string, string>>, args: readonly string[] = []) {
  const variables = { ...given, STATSIG_ENDPOINT: upstream.url, LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  const { stdout } = await runRelay(["doctor", "http", "disabled", "--http-port", "0", ...args], variables);
  expect(stdout).not.toContain(GATE_KEY);
  return /.*profiling gate.*/.exec(stdout)?.[0];
}

test("says what the gate decides for this machine, and that a project has none", async () => {
  const publish = (number: number, pod: string) =>
    publishGates(upstream, number, [gateOf(PROFILING_GATE, [hasCustomId("podID", [pod])])]);
  publishGates(upstream, 1, []);
  expect(await lineOf(env)).toMatch(/^ok .* the project has no gate enable_gcp_profiler_for_sfp/);
  publish(2, "relay-7");
  expect(await lineOf(env)).toMatch(/^ok .* turns profiling on here, by the rule rule_enable_gcp/);
  publish(3, "relay-1");
  expect(await lineOf(env)).toMatch(/^ok .* turns profiling off here, by the rule/);
  expect(await problems()).toEqual([]);
});

test("is skipped if no gate decides", async () => {
  expect(await lineOf({})).toMatch(/^SKIPPED .* no gate decides/);
});

test("a rejected SDK key, a gate that is damaged and an ID list are warnings: the relay works", async () => {
  upstream.forget(GATE_KEY);
  await expectProblem(problems(), NAME, /is rejected by upstream \(401\)/, /use a server SDK key/);
  publishGates(upstream, 4, [{ name: PROFILING_GATE }]);
  await expectProblem(problems(), NAME, /the SDK cannot read the config specs$/, /correct the gate/);
  publishGates(upstream, 5, [gateOf(PROFILING_GATE, [isInList("pods", "podID")])]);
  await expectProblem(problems(), NAME, /turns profiling off here.*; it uses the ID list pods,/, /name the/);
  expect(await problems()).toMatchObject([{ state: "warning" }]);
});
