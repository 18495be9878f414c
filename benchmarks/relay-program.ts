import { existsSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { root } from "../scripts/command.ts";

/** A program that is measured. */
export interface RelayProgram {
  /** Shown in tables. */
  readonly name: string;
  readonly command: readonly string[];
  /** Printed at the beginning of a run. */
  readonly shown: string;
  /** Size of the executable; undefined if the relay runs from source. */
  readonly sizeBytes: number | undefined;
  /** Whether it has `--serving-threads`. Without it, one thread serves all clients. */
  readonly hasServingThreads: boolean;
  /** Whether it has `--delta-history`. Without it, clients always get whole versions. */
  readonly hasDeltas: boolean;
}

/**
 * Builds the executable of a checkout, so that it matches the sources; or returns the sources themselves.
 * `name` is what tables call it.
 */
export async function prepareRelay(
  name: string,
  fromSource: boolean,
  checkout = root,
): Promise<RelayProgram> {
  const main = join(checkout, "src", "main.ts");
  if (!existsSync(main)) throw new Error(`${checkout} is not a checkout of the relay: it has no src/main.ts`);
  const build = join(checkout, "scripts", "build.ts");
  if (fromSource || !existsSync(build)) {
    return prepareSources(name, [process.execPath, main], `bun ${relative(root, main)}`);
  }
  const built = Bun.spawn([process.execPath, build], {
    cwd: checkout,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if ((await built.exited) !== 0) {
    throw new Error(`the build of ${checkout} failed; use --source to measure the relay from source`);
  }
  const executable = join(checkout, "dist", "statsig-forward-proxy");
  return {
    name,
    command: [executable],
    shown: relative(root, executable),
    sizeBytes: statSync(executable).size,
    ...(await readHelp([executable])),
  };
}

/** Returns the relay as a command runs it from its sources. */
export async function prepareSources(
  name: string,
  command: readonly string[],
  shown: string,
): Promise<RelayProgram> {
  return { name, command, shown, sizeBytes: undefined, ...(await readHelp(command)) };
}

/** Returns the arguments for `threads` serving threads of each kind, or none if the program has no such option. */
export function threadArgs(program: RelayProgram, threads: number): string[] {
  return program.hasServingThreads ? ["--serving-threads", String(threads)] : [];
}

async function readHelp(command: readonly string[]) {
  const help = Bun.spawn([...command, "--help"], { stdio: ["ignore", "pipe", "ignore"] });
  const text = await help.stdout.text();
  return {
    hasServingThreads: text.includes("--serving-threads"),
    hasDeltas: text.includes("--delta-history"),
  };
}
