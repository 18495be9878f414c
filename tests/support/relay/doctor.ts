import { expect } from "bun:test";
import type { Upstream } from "../upstream/upstream.ts";
import { runRelay } from "./relay-process.ts";

export interface DoctorResult {
  readonly name: string;
  readonly state: "ok" | "skipped" | "warning" | "failed";
  readonly detail: string;
  readonly fix?: string;
}

export type Settings = Readonly<Record<string, string>>;

/** Returns the problems of a set-up that is correct except for the given arguments and variables. */
export async function problemsOf(
  upstream: Upstream,
  args: readonly string[],
  env: Settings = {},
  cache = "disabled",
): Promise<readonly DoctorResult[]> {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--bind-address", "127.0.0.1"];
  const right = { STATSIG_ENDPOINT: upstream.url, LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  const given = args.includes("--http-port") ? [] : ports;
  const run = await runRelay(["doctor", "grpc-and-http", cache, "--json", ...given, ...args], {
    ...right,
    ...env,
  });
  if (run.stdout === "") throw new Error(`doctor printed no report: ${run.stderr}`);
  const report = JSON.parse(run.stdout) as { ok: boolean; checks: DoctorResult[] };
  const bad = report.checks.filter(({ state }) => state === "failed" || state === "warning");
  expect(report.ok).toBe(bad.every(({ state }) => state === "warning"));
  expect(run.exitCode).toBe(report.ok ? 0 : 1);
  for (const { fix } of bad) expect(fix).toMatch(/\w{3}/);
  // The limit of open files depends on the machine and concerns only tests of --max-connections.
  return bad.filter(({ name }) => name !== "file descriptors" || args.includes("--max-connections"));
}

export async function expectProblem(
  found: Promise<readonly DoctorResult[]>,
  name: string,
  detail: RegExp,
  fix: RegExp,
) {
  const problems = await found;
  expect(problems.map((problem) => problem.name)).toContain(name);
  const [problem] = problems.filter((each) => each.name === name);
  expect(problem?.detail).toMatch(detail);
  expect(problem?.fix).toMatch(fix);
}
