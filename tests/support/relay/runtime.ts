/** Whether the relay that tests start runs on Deno: from its sources, or as what `deno compile` makes of them. */
export const isOnDeno = process.env["SFP_TEST_DENO"] !== undefined;

/** Matches the reason that a file of SQLite is locked by a program of Bun. Deno reads the name from /proc only with --allow-all. */
export const lockedBy = (pid: number): RegExp =>
  isOnDeno
    ? /locked by another process|database is locked/
    : new RegExp(`locked by bun \\(process ${pid}\\)`);
