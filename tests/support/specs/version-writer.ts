import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Output } from "../common/output.ts";

/** A separate process that writes one version after the other, and prints each acknowledged one. */
export class VersionWriter {
  readonly #child: ChildProcess;
  readonly #output: Output;
  /** The exit code; null if a signal ended the process. Resolves after all of its output was read. */
  readonly ended: Promise<number | null>;

  /** `place`: the folder of a local backup, or the port of a Redis. */
  constructor(place: string, sdkKey: string, firstLcut: number, versions: number) {
    const script = join(import.meta.dir, "version-writer-process.ts");
    const args = [script, place, sdkKey, String(firstLcut), String(versions)];
    this.#child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#output = new Output(this.#child.stdout);
    this.ended = once(this.#child, "close").then(([code]) => code);
  }

  /** The last acknowledged lcut; undefined if there is none. A truncated line does not count. */
  get acknowledged(): number | undefined {
    const last = this.#output.text.split("\n").at(-2);
    return last === undefined ? undefined : Number(last);
  }

  async acknowledges(versions: number): Promise<void> {
    await this.#output.until((text) => text.split("\n").length > versions || undefined);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
