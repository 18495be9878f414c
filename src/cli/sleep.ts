import { MAX_TIMER_MS, systemClock, UNIT_MS } from "../platform/clock.ts";

/** The exit code of a shell for a command that does not exist. */
const EXIT_NOT_FOUND = 127;

/** Waits like `sleep` of Linux: the sum of durations such as `30`, `0.5` or `1m`. Resolves with the exit code. */
export async function runSleep(argv: readonly string[], print: (line: string) => void): Promise<number> {
  const durations = argv.map(parseDurationMs);
  const totalMs = durations.reduce((sum: number, ms) => sum + (ms ?? Number.NaN), 0);
  if (argv.length === 0 || !(totalMs <= MAX_TIMER_MS)) {
    print(`sleep: invalid time "${argv.join(" ")}" (expected a number of seconds, or such as 1m)`);
    return 1;
  }
  await systemClock.sleep(totalMs, new AbortController().signal);
  return 0;
}

function parseDurationMs(text: string): number | undefined {
  const [, count, unit = "s"] = /^(\d+\.?\d*|\.\d+)([smhd])?$/.exec(text) ?? [];
  return count === undefined ? undefined : Number(count) * (UNIT_MS[unit] ?? 0);
}

/**
 * Answers `sh -c "sleep 30"`, the preStop hook in the values of the original's chart. It is not a shell: it rejects every other
 * command, so the image still runs no scripts.
 */
export async function runShell(argv: readonly string[], print: (line: string) => void): Promise<number> {
  const [flag = "", script = ""] = argv;
  const [, duration] = /^\s*(?:exec\s+)?sleep\s+(\S+?)\s*;?\s*$/.exec(script) ?? [];
  if (/^-[a-z]*c$/.test(flag) && duration !== undefined) return await runSleep([duration], print);
  print(`sh: this image has no shell, only sh -c "sleep SECONDS" (in a preStop hook, use the sleep action)`);
  return EXIT_NOT_FOUND;
}
