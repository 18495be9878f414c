/**
 * Black-box tests that `npm run test:deno` leaves out: the path of a file, or of a folder with a slash at the end -> why it cannot hold
 * for the relay on Deno. A single test that cannot hold is skipped in its file, by `testOnBun`.
 */
const NOT_ON_DENO: Readonly<Record<string, string>> = {
  "tests/repo/":
    "the released executable, its packages, its image and the deployment files, all of them Bun's",
  "tests/drop-in/chart.test.ts": "the Helm chart, which runs the image",
  "tests/drop-in/image.test.ts": "the image",
  "tests/drop-in/swap-the-image.test.ts": "the image",
  "tests/drop-in/swap-the-image-kubernetes.test.ts": "the image",
  // Code of the tests runs in the relay before its own, also in its Workers: a preload, which Deno has for the main thread alone.
  "tests/relay/unexpected-errors.test.ts": "injects faults by a preload of Bun",
  "tests/relay/unexpected-errors-requests.test.ts": "the same",
  "tests/serving/blocked-control-plane.test.ts": "the same",
  "tests/serving/readiness.test.ts": "the same",
  "tests/streams/stream-counts.property.test.ts": "ends threads by a preload of Bun",
  "tests/serving/drain.test.ts": "has each thread say its name by a preload of Bun",
  "tests/serving/every-thread.test.ts": "the same",
  "tests/serving/reload.test.ts": "the same",
  "tests/serving/replaced-threads.test.ts": "the same",
  "tests/serving/shared-limits.test.ts": "the same",
  "tests/serving/single-flight.test.ts": "the same",
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
