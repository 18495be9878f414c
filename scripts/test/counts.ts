/** Results of checks or of tests. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Formats the last line of a run: `12 passed, 0 failed, 3 skipped`. */
export function formatCounts({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Formats how many tests of each file were skipped, one line per file. Returns an empty string if none were. */
export function formatSkipped(skippedIn: ReadonlyMap<string, number>): string {
  if (skippedIn.size === 0) return "";
  const lines = Array.from(skippedIn, ([file, count]) => `  ${file}: ${count}`).sort();
  return `\n== Skipped tests, which need a program, a right or a platform that this machine does not have\n${lines.join("\n")}`;
}
