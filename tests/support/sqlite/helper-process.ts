import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { exitOf } from "../common/exit-of.ts";
import { within } from "../common/wait.ts";

/** A process that has done its work and stays alive. */
export interface HelperProcess extends AsyncDisposable {
  readonly pid: number;
  /** Suspends the process, which keeps its locks. */
  hang(): void;
}

/** Starts a script of this folder, and resolves when it prints something. */
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

/** Starts another process that locks a SQLite file. */
export const lockFileElsewhere = (file: string, sql = "BEGIN EXCLUSIVE"): Promise<HelperProcess> =>
  startHelper("lock-file-process.ts", file, sql);
