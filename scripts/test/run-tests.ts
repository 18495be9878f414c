import { mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../command.ts";
import type { Counts } from "./counts.ts";

/** The limit for a test that sets none of its own. It is a flag because Bun 1.4.5 ignores `timeout` in bunfig.toml. */
const TIMEOUT = "--timeout=30000";

/**
 * Tests mostly wait, for processes and for time: with one file per core, half of the CPU time is idle. At most 5, because each
 * file may start several relays, and many tests have time limits.
 */
const FILES_AT_ONCE = Math.min(5, availableParallelism() + 2);

export interface TestCounts extends Counts {
  /** Path of a test file -> how many of its tests were skipped. */
  readonly skippedIn: ReadonlyMap<string, number>;
}

/**
 * Runs test files, or all of them if `args` names none, and shows the output of `bun test` as it comes. A run without
 * results counts as one failure.
 */
export async function runTests(args: readonly string[], env: Record<string, string>): Promise<TestCounts> {
  const dir = await mkdtemp(join(tmpdir(), "sfp-test-report-"));
  try {
    const report = join(dir, "junit.xml");
    const junit = ["--reporter=junit", `--reporter-outfile=${report}`];
    const flags = [TIMEOUT, `--parallel=${FILES_AT_ONCE}`, ...junit];
    const code = await run([process.execPath, "test", ...flags, ...args], env);
    return readCounts(await readFile(report, "utf8").catch(() => ""), code);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Runs these test files and returns the exit code. With `--watch` among the flags it only ends when it is killed. */
export function runTestFiles(
  files: readonly string[],
  flags: readonly string[],
  env: Record<string, string>,
): Promise<number> {
  const isParallel = files.length > 1 && !flags.includes("--watch");
  const parallel = isParallel ? [`--parallel=${FILES_AT_ONCE}`] : [];
  // Bun takes a path that starts with "./" for one file, and anything else for a filter.
  const paths = files.map((file) => `./${file}`);
  return run([process.execPath, "test", TIMEOUT, ...parallel, ...flags, ...paths], env);
}

/** Bun's JUnit report omits files that could not be loaded: only the exit code reveals them. */
function readCounts(report: string, exitCode: number): TestCounts {
  const totals = /<testsuites\b[^>]*>/.exec(report)?.[0] ?? "";
  const count = (name: string) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(totals)?.[1] ?? 0);
  const failures = count("failures");
  const skipped = count("skipped");
  const passed = count("tests") - failures - skipped;
  const isUnreported = failures === 0 && (exitCode !== 0 || passed === 0);
  return { passed, failed: isUnreported ? 1 : failures, skipped, skippedIn: countSkipped(report) };
}

function countSkipped(report: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [, file = ""] of report.matchAll(/<testcase\b[^>]* file="([^"]*)"[^>]*>\s*<skipped\b/g)) {
    counts.set(file, (counts.get(file) ?? 0) + 1);
  }
  return counts;
}
