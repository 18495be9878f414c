import { mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../command.ts";
import { readReport, type TestCounts } from "./report.ts";

/** The limit for a test that sets none of its own. It is a flag because Bun 1.4.5 ignores `timeout` in bunfig.toml. */
const TIMEOUT = "--timeout=30000";

/**
 * Tests mostly wait, for processes and for time: with one file per core, half of the CPU time is idle. At most 5, because each
 * file may start several relays, and many tests have time limits.
 */
const FILES_AT_ONCE = Math.min(5, availableParallelism() + 2);

/** Runs test files, or all of them if `args` names none, and shows the output of `bun test` as it comes. */
export async function runTests(args: readonly string[], env: Record<string, string>): Promise<TestCounts> {
  const dir = await mkdtemp(join(tmpdir(), "sfp-test-report-"));
  try {
    const report = join(dir, "junit.xml");
    const flags = [TIMEOUT, `--parallel=${FILES_AT_ONCE}`, ...junitReport(report)];
    const code = await run([process.execPath, "test", ...flags, ...args], env);
    return readReport(await readFile(report, "utf8").catch(() => ""), code);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Returns the flags of `bun test` for a report that `readReport` reads. */
export const junitReport = (path: string): readonly string[] => [
  "--reporter=junit",
  `--reporter-outfile=${path}`,
];

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
