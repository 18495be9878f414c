import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { root, run } from "../scripts/command.ts";

/** How the relay is started. */
export interface RelayProgram {
  readonly command: readonly string[];
  /** Shown in the head of a run. */
  readonly shown: string;
  /** Of the executable; undefined where the relay runs from its sources. */
  readonly sizeBytes: number | undefined;
}

/** The executable, built anew so that what is measured is what is in the sources; or the sources themselves. */
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
    throw new Error("the build failed; --source measures the relay from its sources instead");
  }
  const executable = join(root, "dist", "statsig-forward-proxy");
  return {
    command: [executable],
    shown: "dist/statsig-forward-proxy",
    sizeBytes: statSync(executable).size,
  };
}
