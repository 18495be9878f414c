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
  /** Returns everything printed so far. */
  output(): string;
  /** Waits until the last line of the output is this one. */
  shows(line: string): Promise<void>;
  stop(): Promise<number | null>;
}

/** Runs a shipped example in a Node process as the docs describe. */
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
      await within(closed, 20_000, "the example to end");
      return child.exitCode;
    },
    [Symbol.dispose]: () => {
      child.kill("SIGKILL");
    },
  };
}
