import { afterAll, afterEach, beforeAll, describe, test } from "bun:test";

const missing = new Set((process.env["SFP_TEST_MISSING"] ?? "").split(",").filter(Boolean));

/** Returns `describe`, or `describe.skip` if the machine lacks a command that the tests need. */
export const describeWith = (...commands: string[]): typeof describe =>
  describe.skipIf(commands.some((command) => missing.has(command)));

/**
 * Returns the functions of bun:test for a whole file that needs these commands, if only for its set-up. Without them all of its tests
 * are skipped, and its hooks do not run.
 */
export function testsWith(...commands: string[]) {
  if (!commands.some((command) => missing.has(command))) {
    return { describe, test, beforeAll, afterAll, afterEach };
  }
  const noHook: typeof beforeAll = () => undefined;
  return {
    describe: skipped(describe.skip),
    test: skipped(test.skip),
    beforeAll: noHook,
    afterAll: noHook,
    afterEach: noHook,
  };
}

/** Returns `skip` with the members of `test` and `describe`, such as `failing`: Bun's does not have all of them. */
function skipped<T extends { each: object }>(skip: T): T {
  const each = skip.each as (...rows: unknown[]) => unknown;
  const same: T = new Proxy(skip, {
    get(_, name) {
      // Bun accepts no other `this`.
      if (name === "each") return (...rows: unknown[]) => Reflect.apply(each, skip, rows);
      return name === "skipIf" ? () => same : same;
    },
  });
  return same;
}
