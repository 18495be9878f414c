import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Counts } from "./checks.ts";
import { run } from "./command.ts";

/** For one test that sets no limit of its own; bunfig.toml's `timeout` has no effect on Bun 1.4.5. */
const TEST_TIMEOUT_MS = 30_000;

/** Test files that run at a time: most of what they do is to wait for processes and for time. */
const FILES_AT_ONCE = 2;

/** Runs `bun test` with its output shown as it comes. A run that tells no counts, or ran nothing, is a failure. */
export async function runTests(args: readonly string[], env: Record<string, string>): Promise<Counts> {
  const dir = await mkdtemp(join(tmpdir(), "sfp-test-report-"));
  try {
    const report = join(dir, "junit.xml");
    const junit = ["--reporter=junit", `--reporter-outfile=${report}`];
    const flags = [`--timeout=${TEST_TIMEOUT_MS}`, `--parallel=${FILES_AT_ONCE}`, ...junit];
    const code = await run([process.execPath, "test", ...flags, ...args], env);
    return countsOf(await readFile(report, "utf8").catch(() => ""), code);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Counts of a JUnit report. Bun's report leaves out files that could not be loaded: only the exit code tells of them. */
export function countsOf(report: string, exitCode: number): Counts {
  const totals = /<testsuites\b[^>]*>/.exec(report)?.[0] ?? "";
  const count = (name: string) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(totals)?.[1] ?? 0);
  const failures = count("failures");
  const skipped = count("skipped");
  const passed = count("tests") - failures - skipped;
  const untold = failures === 0 && (exitCode !== 0 || passed === 0);
  return { passed, failed: untold ? 1 : failures, skipped };
}
