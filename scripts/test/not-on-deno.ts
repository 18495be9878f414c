const OTHER_NAMES = "the other names of an executable, which `deno run` does not have";

/**
 * Black-box tests that `npm run test:deno` leaves out: the path of a file, or of a folder with a slash at the end -> why it cannot hold
 * for the relay on Deno. A single test that cannot hold is skipped in its file, by `isOnDeno`.
 */
const NOT_ON_DENO: Readonly<Record<string, string>> = {
  "tests/repo/":
    "the released executable, its packages, its image and the deployment files, all of them Bun's",
  "tests/drop-in/chart.test.ts": "the Helm chart, which runs the image",
  "tests/drop-in/image.test.ts": "the image",
  "tests/drop-in/swap-the-image.test.ts": "the image",
  "tests/drop-in/swap-the-image-kubernetes.test.ts": "the image",
  "tests/cli/programs.test.ts": OTHER_NAMES,
  "tests/doctor/grpc-health-probe.test.ts": OTHER_NAMES,
  "tests/profiling/lost-threads.test.ts":
    "threads that hang, which Deno cannot end, and heap profiles in a row, and one takes seconds there",
  "tests/drop-in/probe.test.ts": OTHER_NAMES,
};

/** Removes the tests that cannot hold on Deno. Throws if an entry of the list names no black-box test. */
export function withoutBunOnly(files: readonly string[]): string[] {
  const entries = Object.keys(NOT_ON_DENO);
  const isNamed = (file: string, entry: string) =>
    entry.endsWith("/") ? file.startsWith(entry) : file === entry;
  const stale = entries.find((entry) => !files.some((file) => isNamed(file, entry)));
  if (stale !== undefined) throw new Error(`${stale} in scripts/test/not-on-deno.ts is no black-box test`);
  return files.filter((file) => !entries.some((entry) => isNamed(file, entry)));
}
