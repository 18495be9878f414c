import { join } from "node:path";
import { root } from "./command.ts";
import { scanSources } from "./import-scan.ts";

/** Whatever starts a relay as a process of its own does so by this file. */
const STARTER = "support/run-relay.ts";

/** The tests that see a relay from outside: those that get to the starter by their imports. Paths from the root. */
export async function blackBoxTests(): Promise<string[]> {
  const files = await scanSources(join(root, "tests"));
  const targetsOf = new Map(
    files.map(({ path, imports }) => [
      path,
      imports.filter(({ isOurs, isTypeOnly }) => isOurs && !isTypeOnly).map(({ target }) => target),
    ]),
  );
  const starts = (path: string, seen = new Set<string>()): boolean => {
    if (path === STARTER) return true;
    if (seen.has(path)) return false;
    seen.add(path);
    return (targetsOf.get(path) ?? []).some((target) => starts(target, seen));
  };
  const tests = files.map(({ path }) => path).filter((path) => path.endsWith(".test.ts"));
  return tests.filter((path) => starts(path)).map((path) => `tests/${path}`);
}
