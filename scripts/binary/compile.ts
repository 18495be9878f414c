import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Build } from "bun";
import { root } from "../command.ts";
import { removeStaleSignature } from "./macho-signature.ts";
import { grpcIsBundled, noPathOfThisMachine, workersFromRoot } from "./source-changes.ts";

const src = join(root, "src");

export interface Compilation {
  readonly outfile: string;
  /** As `--version` shows it. */
  readonly commit: string;
  /** Undefined: for this machine, with the Bun that runs here. */
  readonly target?: { readonly compile: Build.CompileTarget; readonly executablePath: string };
}

/** Builds the executable. Gives the files that are in it, as paths in this project. */
export async function compile({ outfile, commit, target }: Compilation): Promise<readonly string[]> {
  mkdirSync(dirname(outfile), { recursive: true });
  // The name of the file goes into it: built under one name, what comes out depends on the sources alone. And a
  // relay that runs from the file that is there goes on running.
  const aside = mkdtempSync(join(dirname(outfile), ".building-"));
  try {
    const built = join(aside, "statsig-forward-proxy");
    const result = await Bun.build({
      // The bundler does not follow the URL of a Worker: each is an entry of its own.
      entrypoints: [join(src, "main.ts"), ...(await workerFiles())],
      root: src,
      minify: true,
      bytecode: true,
      format: "esm",
      // What is imported only when its option is given costs nothing before.
      splitting: true,
      metafile: true,
      define: { SFP_BUILD_COMMIT: JSON.stringify(commit), ...noPathOfThisMachine.define },
      plugins: [workersFromRoot(src), noPathOfThisMachine.plugin, grpcIsBundled],
      compile: {
        outfile: built,
        // The relay must not take settings, or code to preload, from whatever directory it is started in.
        autoloadDotenv: false,
        autoloadBunfig: false,
        ...(target && { target: target.compile, executablePath: target.executablePath }),
      },
      throw: false,
    });
    if (!result.success) throw new Error(result.logs.map(String).join("\n") || "the build failed");
    removeStaleSignature(built);
    renameSync(built, outfile);
    return Object.keys(result.metafile?.inputs ?? {});
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

async function workerFiles(): Promise<string[]> {
  return (await Array.fromAsync(new Bun.Glob("**/*-worker.ts").scan({ cwd: src, absolute: true }))).sort();
}
