import { describe } from "bun:test";

const missing = new Set((process.env["SFP_TEST_MISSING"] ?? "").split(",").filter(Boolean));

/** Returns `describe`, or `describe.skip` if the machine lacks a command that the tests need. */
export const describeWith = (...commands: string[]): typeof describe =>
  describe.skipIf(commands.some((command) => missing.has(command)));
