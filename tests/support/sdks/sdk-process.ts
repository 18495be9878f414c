import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { within } from "../common/wait.ts";

export interface Evaluation<T> {
  readonly value: T;
  readonly ruleID: string;
  /** The SDK's description of where its specs came from, such as `Network:Recognized`. */
  readonly reason?: string;
  /** The version of the specs that were evaluated. */
  readonly lcut?: number;
}

export interface Initialised {
  readonly ok: boolean;
  readonly error?: string;
}

interface Reply {
  readonly id: number;
  readonly result: unknown;
}

const childFile = fileURLToPath(new URL("sdk-child.mjs", import.meta.url));

/** A real SDK in a Node process of its own. */
export class SdkProcess implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #asked = 0;
  #log = "";
  initialised: Initialised = { ok: false };

  private constructor() {
    this.#child = spawn("node", [childFile], {
      env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.on("error", (error) => {
      this.#log += String(error);
    });
    // A request to a process that has ended fails at the time limit.
    this.#child.stdin.on("error", () => undefined);
    this.#child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      this.#log += chunk;
    });
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#read(line));
  }

  static async start(sdk: "core" | "legacy", sdkKey: string, options: object): Promise<SdkProcess> {
    const started = new SdkProcess();
    try {
      started.initialised = (await started.#send(0, { sdk, sdkKey, options }, 25_000)) as Initialised;
      return started;
    } catch (error) {
      await started[Symbol.asyncDispose]();
      throw error;
    }
  }

  gate(name: string, userID = "user"): Promise<Evaluation<boolean>> {
    return this.#ask("gate", name, userID) as Promise<Evaluation<boolean>>;
  }

  config(name: string, userID = "user"): Promise<Evaluation<Record<string, unknown>>> {
    return this.#ask("config", name, userID) as Promise<Evaluation<Record<string, unknown>>>;
  }

  /** Evaluates a gate for a user who has only the custom ID `podID`. For core only. */
  gateOfPod(name: string, podID: string): Promise<Evaluation<boolean>> {
    return this.#ask("gateOfPod", name, podID) as Promise<Evaluation<boolean>>;
  }

  /**
   * Evaluates all gates, configs, experiments, layers and parameter stores for a user with this email, as a client's initialization
   * gets them. For core only.
   */
  async all(userID: string): Promise<object> {
    return (await this.#ask("all", "", userID)) as object;
  }

  /** As {@link all}, by a new client of the process with another SDK key, which ends afterwards. */
  async fresh(sdkKey: string, userID: string): Promise<object> {
    return (await this.#ask("fresh", sdkKey, userID)) as object;
  }

  /** Stops the process until {@link resume}. */
  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  /** Makes the legacy SDK sync, whose own interval is at least 30 s. Does nothing with core, which syncs by itself. */
  async syncIdLists(): Promise<void> {
    await this.#ask("syncIdLists", "", "");
  }

  /** Returns what the SDK has printed. */
  log(): string {
    return this.#log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const exited = once(child, "exit");
    child.stdin.end(`${JSON.stringify({ ask: "stop" })}\n`);
    await within(exited, 15_000, "SDK to stop").catch(() => child.kill("SIGKILL"));
  }

  #ask(
    ask: "gate" | "config" | "gateOfPod" | "all" | "fresh" | "syncIdLists",
    name: string,
    userID: string,
  ): Promise<unknown> {
    const id = ++this.#asked;
    return this.#send(id, { id, ask, name, userID }, 20_000);
  }

  async #send(id: number, message: object, timeoutMs: number): Promise<unknown> {
    const replied = new Promise<unknown>((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
    return within(replied, timeoutMs, "a reply of the SDK").catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.#log}`);
    });
  }

  #read(line: string): void {
    // SDKs print to stdout too; replies begin with the record separator.
    if (!line.startsWith("\u001e")) {
      this.#log += `${line}\n`;
      return;
    }
    const { id, result } = JSON.parse(line.slice(1)) as Reply;
    this.#waiting.get(id)?.(result);
    this.#waiting.delete(id);
  }
}
