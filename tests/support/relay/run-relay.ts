import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { toDenoCommand } from "../../../scripts/deno/deno-program.ts";
import { Output } from "../common/output.ts";
import { FROM_SOURCES, findPreload } from "../common/preload.ts";
import { within } from "../common/wait.ts";

export interface FinishedRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Shorter than the time limit of a test, so that a failure says what did not end. */
export const END_LIMIT_MS = 25_000;

const mainFile = fileURLToPath(new URL("../../../src/main.ts", import.meta.url));

/**
 * Starts the relay from its sources, or the executable named by SFP_TEST_BINARY, or with the Deno named by SFP_TEST_DENO (the
 * sources, or the bundle named by SFP_TEST_DENO_MAIN), with the given variables and no others but PATH and HOME. It has no management port, since that cannot pick a free one.
 */
export function spawnRelay(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  through: readonly string[] = [],
  argv0?: string,
): ChildProcess {
  const [command = "", ...first] = [...through, ...relayCommand(env)];
  return spawn(command, [...first, ...args], {
    ...(argv0 !== undefined && { argv0 }),
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: process.env["HOME"] ?? "/",
      SFP_MANAGEMENT_PORT: "0",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** For a run that exits by itself: `--help`, an invalid option, a port in use. `argv0` is the name that the executable is started with. */
export async function runRelay(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  argv0?: string,
): Promise<FinishedRun> {
  const child = spawnRelay(args, env, [], argv0);
  const stdout = new Output(child.stdout);
  const stderr = new Output(child.stderr);
  try {
    const closed = once(child, "close");
    await within(closed, END_LIMIT_MS, `relay ${args.join(" ")} to end`);
    return { exitCode: child.exitCode ?? -1, stdout: stdout.text, stderr: stderr.text };
  } finally {
    child.kill("SIGKILL");
  }
}

/**
 * The command before all arguments: an executable, a bundle or the sources on Deno, or the sources on Bun. `env` may name a preload,
 * which may need the sources.
 */
export function relayCommand(env: Readonly<Record<string, string>> = {}): readonly string[] {
  const { SFP_TEST_BINARY: binary, SFP_TEST_DENO: deno, SFP_TEST_DENO_MAIN: bundle } = process.env;
  if (binary !== undefined && env[FROM_SOURCES] === undefined) return [binary];
  if (deno === undefined) return [process.execPath, mainFile];
  const preload = findPreload(env);
  return toDenoCommand(deno, bundle, preload === undefined ? [] : ["--preload", preload]);
}
