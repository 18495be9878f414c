import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

/** Resolves with the exit code, or with -1 if a signal ended the process. */
export const exitOf = async (child: ChildProcess): Promise<number> => {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode ?? -1;
};
