import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Output } from "../common/output.ts";
import { within } from "../common/wait.ts";
import type { AttackOrder, AttackResult } from "./attacks.ts";

const STARTING_MS = 20_000;

/** An attack from a process of its own. */
export class Attacker implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #output: Output;
  readonly #ended: Promise<unknown>;
  readonly #durationMs: number;

  private constructor(order: AttackOrder) {
    const script = join(import.meta.dir, "attacker-process.ts");
    this.#child = spawn(process.execPath, [script, JSON.stringify(order)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#ended = once(this.#child, "close");
    this.#output = new Output(this.#child.stdout);
    this.#durationMs = order.durationMs;
  }

  /** Resolves when its connections are open. */
  static async start(order: AttackOrder): Promise<Attacker> {
    const attacker = new Attacker(order);
    const started = attacker.#output.until((text) => text.includes("started") || undefined);
    try {
      await within(started, STARTING_MS, `the start of ${order.attack}`);
      return attacker;
    } catch (error) {
      await attacker[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Its result. */
  async result(): Promise<AttackResult> {
    await within(this.#ended, this.#durationMs + STARTING_MS, "the end of the attack");
    return JSON.parse(this.#output.text.trim().split("\n").at(-1) ?? "") as AttackResult;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}
