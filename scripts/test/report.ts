import type { Counts } from "./counts.ts";

/** What the JUnit report of `bun test` says. */
export interface TestCounts extends Counts {
  /** Path of a test file -> how many of its tests were skipped. */
  readonly skippedIn: ReadonlyMap<string, number>;
  readonly failures: readonly TestFailure[];
}

export interface TestFailure {
  /** File and line of the test. */
  readonly at: string;
  /** With the names of its groups: `group > test`. */
  readonly name: string;
  readonly message: string;
}

/**
 * Reads a report. A run without results counts as one failure: Bun's report omits files that could not be loaded, which only the
 * exit code reveals.
 */
export function readReport(report: string, exitCode: number): TestCounts {
  const totals = /<testsuites\b[^>]*>/.exec(report)?.[0] ?? "";
  const count = (name: string) => Number(attribute(totals, name) || "0");
  const failed = count("failures");
  const skipped = count("skipped");
  const passed = count("tests") - failed - skipped;
  const isUnreported = failed === 0 && (exitCode !== 0 || passed === 0);
  return {
    passed,
    failed: isUnreported ? 1 : failed,
    skipped,
    skippedIn: countSkipped(report),
    failures: listFailures(report),
  };
}

function countSkipped(report: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [, testCase = ""] of report.matchAll(/(<testcase\b[^>]*>)\s*<skipped\b/g)) {
    const file = attribute(testCase, "file");
    counts.set(file, (counts.get(file) ?? 0) + 1);
  }
  return counts;
}

function listFailures(report: string): TestFailure[] {
  const failures = report.matchAll(/(<testcase\b[^>]*>)\s*(<failure\b[^>]*>)([^<]*)/g);
  return Array.from(failures, ([, testCase = "", failure = "", text = ""]) => {
    // Bun names the innermost group first.
    const groups = attribute(testCase, "classname").split(" > ").reverse();
    return {
      at: [attribute(testCase, "file"), attribute(testCase, "line")].filter(Boolean).join(":"),
      name: [...groups, attribute(testCase, "name")].filter(Boolean).join(" > "),
      // A test that ran into its time limit has a message only.
      message: (decode(text).trim() || attribute(failure, "message")).trim(),
    };
  });
}

/** Returns an empty string if the element has no such attribute. */
const attribute = (element: string, name: string): string =>
  decode(new RegExp(` ${name}="([^"]*)"`).exec(element)?.[1] ?? "");

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

const decode = (text: string): string =>
  text.replace(/&(?:#(\d+)|(\w+));/g, (whole, code?: string, name = "") =>
    code === undefined ? (ENTITIES[name] ?? whole) : String.fromCodePoint(Number(code)),
  );

/**
 * Formats what to print below the output of `bun test`: how many tests of each file were skipped, and what failed, because the
 * reasons stand where they happened, among thousands of lines. Returns an empty string if there is nothing to say.
 */
export const formatDetails = ({ skippedIn, failures }: TestCounts): string =>
  [...formatSkipped(skippedIn), ...formatFailures(failures)].join("\n");

function formatSkipped(skippedIn: ReadonlyMap<string, number>): string[] {
  if (skippedIn.size === 0) return [];
  const lines = Array.from(skippedIn, ([file, count]) => `  ${file}: ${count}`).sort();
  return [
    "\n== Skipped tests, which need a program, a right or a platform that this machine does not have",
    ...lines,
  ];
}

function formatFailures(failures: readonly TestFailure[]): string[] {
  if (failures.length === 0) return [];
  return [
    "\n== Failed tests",
    ...failures.flatMap(({ at, name, message }) => [name, `  ${at}`, message.replace(/^(?=.)/gm, "    ")]),
  ];
}
