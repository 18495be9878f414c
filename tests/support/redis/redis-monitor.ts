import { type ChildProcess, spawn } from "node:child_process";
import { exitOf } from "../common/exit-of.ts";
import { Output } from "../common/output.ts";
import type { RedisServer } from "./redis-server.ts";

/** Records every command that a Redis executes, including those in scripts. */
export class RedisMonitor implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #output: Output;
  readonly #server: RedisServer;

  private constructor(server: RedisServer, child: ChildProcess, output: Output) {
    this.#server = server;
    this.#child = child;
    this.#output = output;
  }

  static async start(server: RedisServer): Promise<RedisMonitor> {
    const child = spawn("redis-cli", ["-p", String(server.port), "MONITOR"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = new Output(child.stdout, child.stderr);
    await output.until((text) => /^OK/.exec(text) ?? undefined);
    return new RedisMonitor(server, child, output);
  }

  /** Returns the commands so far that contain the key. */
  async commandsOn(key: string): Promise<readonly string[]> {
    const mark = `mark-${crypto.randomUUID()}`;
    await this.#server.cli("ECHO", mark);
    await this.#output.until((text) => text.includes(mark) || undefined);
    return this.#output.text.split("\n").filter((line) => line.includes(`"${key}"`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await exitOf(this.#child);
  }
}
