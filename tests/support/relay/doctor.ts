import { expect } from "bun:test";
import type { Upstream } from "../upstream/upstream.ts";
import { runRelay } from "./relay-process.ts";

export interface Finding {
  readonly name: string;
  readonly state: "ok" | "skipped" | "warning" | "failed";
  readonly detail: string;
  readonly mend?: string;
}

export type Settings = Readonly<Record<string, string>>;

/** Returns the problems of a setup that is correct except for the given options. */
export async function problemsOf(
  upstream: Upstream,
  args: readonly string[],
  env: Settings = {},
  cache = "disabled",
): Promise<readonly Finding[]> {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--bind-address", "127.0.0.1"];
  const right = { STATSIG_ENDPOINT: upstream.url, LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  const given = args.includes("--http-port") ? [] : ports;
  const run = await runRelay(["doctor", "grpc-and-http", cache, "--json", ...given, ...args], {
    ...right,
    ...env,
  });
  const report = JSON.parse(run.stdout) as { ok: boolean; checks: Finding[] };
  const bad = report.checks.filter(({ state }) => state === "failed" || state === "warning");
  expect(report.ok).toBe(bad.every(({ state }) => state === "warning"));
  expect(run.exitCode).toBe(report.ok ? 0 : 1);
  for (const { mend } of bad) expect(mend).toMatch(/\w{3}/);
  // The machine's limit of open files does not concern the other tests.
  return bad.filter(({ name }) => name !== "file descriptors" || args.includes("--max-connections"));
}

export async function expectProblem(
  found: Promise<readonly Finding[]>,
  name: string,
  detail: RegExp,
  mend: RegExp,
) {
  const problems = await found;
  expect(problems.map((problem) => problem.name)).toContain(name);
  const [problem] = problems.filter((each) => each.name === name);
  expect(problem?.detail).toMatch(detail);
  expect(problem?.mend).toMatch(mend);
}
