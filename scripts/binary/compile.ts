import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Build } from "bun";
import { root } from "../command.ts";
import { removeStaleSignature } from "./macho-signature.ts";
import { bundleGrpcExporter, resolveWorkersFromRoot, withoutLocalPaths } from "./source-changes.ts";

const src = join(root, "src");

export interface Compilation {
  readonly outfile: string;
  /** What `--version` prints. */
  readonly commit: string;
  /** The default is this machine, with the Bun that runs this script. */
  readonly target?: { readonly compile: Build.CompileTarget; readonly executablePath: string };
}

/** Builds the executable and returns the paths of the files in it, from the project's root. Throws if the build fails. */
export async function compile({ outfile, commit, target }: Compilation): Promise<readonly string[]> {
  mkdirSync(dirname(outfile), { recursive: true });
  // The executable contains its file name: with a fixed name, the bytes depend only on the sources. Renaming it afterwards
  // also lets a relay that runs from the old file continue.
  const aside = mkdtempSync(join(dirname(resolve(outfile)), ".building-"));
  const folder = process.cwd();
  // Source maps name files relative to the current folder.
  process.chdir(root);
  try {
    const built = join(aside, "statsig-forward-proxy");
    const result = await Bun.build({
      ...(await toBuildConfig(commit)),
      sourcemap: "linked",
      bytecode: true,
      metafile: true,
      compile: {
        outfile: built,
        // The relay must not read settings, or code to preload, from the directory that it is started in.
        autoloadDotenv: false,
        autoloadBunfig: false,
        ...(target && { target: target.compile, executablePath: target.executablePath }),
      },
    });
    if (!result.success) throw new Error(result.logs.map(String).join("\n") || "the build failed");
    removeStaleSignature(built);
    renameSync(built, resolve(folder, outfile));
    return Object.keys(result.metafile?.inputs ?? {});
  } finally {
    process.chdir(folder);
    rmSync(aside, { recursive: true, force: true });
  }
}

/** Returns what the builds for both runtimes have in common. `workerExtension` is that of the files of Workers that the build makes. */
export async function toBuildConfig(commit: string, workerExtension?: string) {
  return {
    // The bundler does not follow the URL of a Worker, so each Worker is an entry point.
    entrypoints: [join(src, "main.ts"), ...(await findWorkerFiles())],
    root: src,
    // Profiles and errors name the functions, files and lines of the sources (docs/profiling.md has what this costs).
    minify: { whitespace: true, syntax: true, identifiers: false },
    format: "esm",
    // Modules that are imported on demand are loaded only if their option is set.
    splitting: true,
    define: { SFP_BUILD_COMMIT: JSON.stringify(commit), ...withoutLocalPaths.define },
    plugins: [resolveWorkersFromRoot(src, workerExtension), withoutLocalPaths.plugin, bundleGrpcExporter],
    throw: false,
  } satisfies Partial<Parameters<typeof Bun.build>[0]>;
}

async function findWorkerFiles(): Promise<string[]> {
  return (await Array.fromAsync(new Bun.Glob("**/*-worker.ts").scan({ cwd: src, absolute: true }))).sort();
}
