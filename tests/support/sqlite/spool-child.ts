import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Output } from "../common/output.ts";

export const GROUPS = 5;
/** The maximum number of events per claim. */
export const TAKEN_EVENTS = 20;

/** A child process that puts numbered batches into a spool, or claims them, and prints each. */
export class SpoolChild {
  readonly #child: ChildProcess;
  readonly #output: Output;
  /** The exit code, or null if a signal ended it. By then all its output has arrived. */
  readonly ended: Promise<number | null>;

  constructor(folder: string, role: "put" | "take", first = 0) {
    const script = join(import.meta.dir, "spool-child-process.ts");
    const args = [script, folder, role, String(first)];
    this.#child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#output = new Output(this.#child.stdout);
    this.ended = once(this.#child, "close").then(([code]) => code);
  }

  /** Its output lines, without an incomplete one. */
  get said(): string[] {
    return this.#output.text.split("\n").slice(1, -1);
  }

  /** Resolves when it has printed this number of lines, or has ended before that. */
  async says(lines: number): Promise<void> {
    const hasSaid = this.#output.until((text) => text.split("\n").length > lines + 1 || undefined);
    await Promise.race([hasSaid, this.ended]);
  }

  /** Sends SIGKILL. Resolves with whether it was still running. */
  async kill(): Promise<boolean> {
    this.#child.kill("SIGKILL");
    return (await this.ended) === null;
  }
}
