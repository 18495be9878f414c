import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { exitOf } from "../common/exit-of.ts";
import { within } from "../common/wait.ts";

/** A process that has done what it was started for, and lives on. */
export interface HelperProcess extends AsyncDisposable {
  readonly pid: number;
  /** It no longer does anything, but keeps what it has, such as locks. */
  hang(): void;
}

/** Runs a script of this folder, until it says anything. */
export async function startHelper(script: string, ...args: readonly string[]): Promise<HelperProcess> {
  const command = [join(import.meta.dir, script), ...args];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
  await within(once(child.stdout, "data"), 15_000, script);
  return {
    pid: child.pid ?? 0,
    hang: () => child.kill("SIGSTOP"),
    [Symbol.asyncDispose]: async () => {
      const ended = exitOf(child);
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Another process that has an SQLite file locked. */
export const lockFileElsewhere = (file: string, sql = "BEGIN EXCLUSIVE"): Promise<HelperProcess> =>
  startHelper("lock-file-process.ts", file, sql);
