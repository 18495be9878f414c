import { type ChildProcessByStdio, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { exitOf } from "../common/exit-of.ts";
import { Output } from "../common/output.ts";
import { within } from "../common/wait.ts";

const BLOCK_LIMIT_MS = 20_000;

/** One shell that runs block after block, as a reader who pastes them does. A command that fails ends it. */
export class ShellSession implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #output: Output;
  readonly #folder: string;
  /** Rejects when the shell ends. */
  readonly #ended: Promise<never>;
  #blocks = 0;

  constructor(folder: string, env: Readonly<Record<string, string>>) {
    this.#folder = folder;
    // A process group of its own, so that what it leaves running ends with it.
    this.#child = spawn("bash", ["-e", "-s"], { cwd: folder, env, detached: true, stdio: "pipe" });
    this.#child.stdin.on("error", () => undefined);
    this.#output = new Output(this.#child.stdout, this.#child.stderr);
    this.#ended = exitOf(this.#child).then((code) => {
      throw new Error(`exit code ${code}`);
    });
    this.#ended.catch(() => undefined);
  }

  /** Resolves with what the block printed. Rejects with that if one of its commands fails. */
  async run(block: string): Promise<string> {
    const before = this.#output.text.length;
    const mark = `== end of block ${++this.#blocks}`;
    // As a file, since a command could read the rest of the block from the shell's input.
    const file = join(this.#folder, `block-${this.#blocks}.sh`);
    writeFileSync(file, block);
    this.#child.stdin.write(`. ${file} < /dev/null\necho "${mark}"\n`);
    const since = () => this.#output.text.slice(before);
    const done = this.#output.until((text) => text.includes(`${mark}\n`) || undefined);
    try {
      await within(Promise.race([done, this.#ended]), BLOCK_LIMIT_MS, "the end of the block");
    } catch (error) {
      throw new Error(`${String(error)} in\n${block}\n${since()}`);
    }
    return since().replace(`${mark}\n`, "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // Nothing of the group runs any longer.
    }
    await exitOf(this.#child);
  }
}
