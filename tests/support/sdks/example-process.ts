import { expect } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Output } from "../common/output.ts";
import { eventually, within } from "../common/wait.ts";

export const exampleKey = "secret-active-mode";

interface ExampleRun {
  readonly env: Readonly<Record<string, string>>;
  readonly gate?: string;
}

export interface ExampleProcess extends Disposable {
  /** Everything printed so far. */
  output(): string;
  /** Resolves when the last line is this one. */
  shows(line: string): Promise<void>;
  stop(): Promise<number | null>;
}

/** A shipped example in a Node process of its own, as somebody would run it who follows the docs. */
export function runExample(name: string, { env, gate = "gate_public" }: ExampleRun): ExampleProcess {
  const path = fileURLToPath(new URL(`../../../examples/${name}.mjs`, import.meta.url));
  const { PATH = "", HOME = "/" } = process.env;
  const child = spawn("node", [path, gate], {
    env: { PATH, HOME, STATSIG_SERVER_SDK_KEY: exampleKey, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = new Output(child.stdout, child.stderr);
  return {
    output: () => output.text,
    shows: (line) =>
      eventually(() => expect(output.text.trimEnd().split("\n").at(-1)).toBe(line), { withinMs: 20_000 }),
    async stop() {
      const closed = once(child, "close");
      child.kill("SIGTERM");
      await within(closed, 10_000, "the example to end");
      return child.exitCode;
    },
    [Symbol.dispose]: () => {
      child.kill("SIGKILL");
    },
  };
}
