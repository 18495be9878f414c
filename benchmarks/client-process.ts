import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { Bench } from "./bench.ts";
import { onCores } from "./cores.ts";

/** A client in its own process, which writes its results as lines of JSON. */
export class ClientProcess implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<string>;

  constructor(bench: Bench, script: string, args: readonly string[]) {
    const command = [process.execPath, join(import.meta.dir, script), ...args];
    this.#child = Bun.spawn(onCores(bench.cores?.client, command), {
      stdio: ["pipe", "pipe", "inherit"],
      signal: bench.signal,
    });
    this.#lines = createInterface({ input: Readable.fromWeb(this.#child.stdout) })[Symbol.asyncIterator]();
  }

  /** Writes a command as a line of JSON to the input of the client. */
  send(command: unknown): void {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    this.#child.stdin.flush();
  }

  /** Resolves with the next result. `T` must be what the client script writes. Rejects after `withinMs`. */
  async next<T>(withinMs: number): Promise<T> {
    using late = timer(withinMs);
    const line = await Promise.race([this.#lines.next(), late.promise]);
    if (line.done) throw new Error(`the client exited early with code ${await this.#child.exited}`);
    return JSON.parse(line.value) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

function timer(withinMs: number): Disposable & { readonly promise: Promise<never> } {
  const { promise, reject } = Promise.withResolvers<never>();
  const error = new Error(`the client wrote nothing for ${withinMs / 1_000} s`);
  const timeout = setTimeout(() => reject(error), withinMs);
  return { promise, [Symbol.dispose]: () => clearTimeout(timeout) };
}
