import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Output } from "../common/output.ts";

export const GROUPS = 5;
/** What a taker takes at once, at the most. */
export const TAKEN_EVENTS = 20;

/** A process of its own that puts numbered batches into a spool, or takes them, and says each. */
export class SpoolChild {
  readonly #child: ChildProcess;
  readonly #output: Output;
  /** The exit code; null where a signal ended it. All that it said is there by then. */
  readonly ended: Promise<number | null>;

  constructor(folder: string, role: "put" | "take", first = 0) {
    const script = join(import.meta.dir, "spool-child-process.ts");
    const args = [script, folder, role, String(first)];
    this.#child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#output = new Output(this.#child.stdout);
    this.ended = once(this.#child, "close").then(([code]) => code);
  }

  /** What it said, by lines. A line that was cut short does not count. */
  get said(): string[] {
    return this.#output.text.split("\n").slice(1, -1);
  }

  async says(lines: number): Promise<void> {
    await this.#output.until((text) => text.split("\n").length > lines + 1 || undefined);
  }

  /** SIGKILL; whether it was still at work. */
  async kill(): Promise<boolean> {
    this.#child.kill("SIGKILL");
    return (await this.ended) === null;
  }
}
