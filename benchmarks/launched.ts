import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bench } from "./bench.ts";
import { type CoreList, onCores } from "./cores.ts";

export interface LaunchOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly cores: CoreList;
  readonly env?: Readonly<Record<string, string>>;
}

const STOP_GRACE_MS = 3_000;

/** A server process that runs until it is disposed, with its output in a log file. */
export class Launched implements AsyncDisposable {
  readonly #child: Bun.Subprocess;
  readonly #name: string;
  readonly #log: string;

  constructor(bench: Bench, { name, command, cores, env = {} }: LaunchOptions) {
    this.#name = name;
    this.#log = join(bench.scratch, `${name}.log`);
    const log = openSync(this.#log, "w");
    this.#child = Bun.spawn(onCores(cores, command), {
      // Results must not depend on the caller's settings or proxies.
      env: { PATH: process.env["PATH"] ?? "", ...env },
      stdio: ["ignore", log, log],
      signal: bench.signal,
    });
    closeSync(log);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Throws an error with the last lines of the log if the process has exited. */
  checkRunning(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) return;
    const said = readFileSync(this.#log, "utf8").trim().split("\n").slice(-5).join("\n");
    throw new Error(`${this.#name} exited: ${said || "no output"}`);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    const kill = setTimeout(() => this.#child.kill("SIGKILL"), STOP_GRACE_MS);
    await this.#child.exited;
    clearTimeout(kill);
  }
}
