import { test } from "bun:test";

/** Whether the relay that tests start runs on Deno: from its sources, or as what `deno compile` makes of them. */
export const isOnDeno = process.env["SFP_TEST_DENO"] !== undefined;

/** The function `test` for what cannot hold on Deno. docs/runtimes.md says why. */
export const testOnBun = test.skipIf(isOnDeno);
