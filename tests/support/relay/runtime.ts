/** Whether the relay that tests start runs on Deno: from its sources, or as what `deno compile` makes of them. */
export const isOnDeno = process.env["SFP_TEST_DENO"] !== undefined;
