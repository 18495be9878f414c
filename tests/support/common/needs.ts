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
    describe: describe.skip as typeof describe,
    test: test.skip as typeof test,
    beforeAll: noHook,
    afterAll: noHook,
    afterEach: noHook,
  };
}
