import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { root, run } from "../scripts/command.ts";

/** The program that is measured. */
export interface RelayProgram {
  readonly command: readonly string[];
  /** Printed at the beginning of a run. */
  readonly shown: string;
  /** Size of the executable; undefined if the relay runs from source. */
  readonly sizeBytes: number | undefined;
}

/** Builds the executable, so that it matches the sources; or returns the sources themselves. */
export async function prepareRelay(fromSource: boolean): Promise<RelayProgram> {
  const build = join(root, "scripts", "build.ts");
  if (fromSource || !existsSync(build)) {
    return {
      command: [process.execPath, join(root, "src", "main.ts")],
      shown: "bun src/main.ts",
      sizeBytes: undefined,
    };
  }
  if ((await run([process.execPath, build])) !== 0) {
    throw new Error("the build failed; use --source to measure the relay from source");
  }
  const executable = join(root, "dist", "statsig-forward-proxy");
  return {
    command: [executable],
    shown: "dist/statsig-forward-proxy",
    sizeBytes: statSync(executable).size,
  };
}
