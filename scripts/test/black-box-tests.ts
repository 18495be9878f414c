import { join } from "node:path";
import { scanSources } from "../checks/source-scan.ts";
import { root } from "../command.ts";

/** Every test that starts a relay in its own process imports this file, directly or not. */
const STARTER = "support/relay/run-relay.ts";

/** Returns the test files that start a relay process, as paths from the project's root. Throws if there are none. */
export async function findBlackBoxTests(): Promise<string[]> {
  const files = await scanSources(join(root, "tests"));
  const targetsOf = new Map(
    files.map(({ path, imports }) => [
      path,
      imports.filter(({ isOurs, isTypeOnly }) => isOurs && !isTypeOnly).map(({ target }) => target),
    ]),
  );
  const importsStarter = (path: string, seen = new Set<string>()): boolean => {
    if (path === STARTER) return true;
    if (seen.has(path)) return false;
    seen.add(path);
    return (targetsOf.get(path) ?? []).some((target) => importsStarter(target, seen));
  };
  const tests = files.map(({ path }) => path).filter((path) => path.endsWith(".test.ts"));
  const found = tests.filter((path) => importsStarter(path)).map((path) => `tests/${path}`);
  // Without this, `bun test` would get no file names and run every test.
  if (found.length === 0) throw new Error(`no test imports tests/${STARTER}`);
  return found;
}
