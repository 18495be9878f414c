import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { exitOf } from "./exit-of.ts";
import { within } from "./wait.ts";

const SCRIPT = join(import.meta.dir, "lock-file-process.ts");

/** Another process that has an SQLite file locked. */
export interface FileLocker extends AsyncDisposable {
  readonly pid: number;
  /** It no longer does anything, but keeps its lock. */
  hang(): void;
}

export async function lockFileElsewhere(file: string, sql = "BEGIN EXCLUSIVE"): Promise<FileLocker> {
  const child = spawn(process.execPath, [SCRIPT, file, sql], { stdio: ["ignore", "pipe", "inherit"] });
  await within(once(child.stdout, "data"), 15_000, "the file to be locked");
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
