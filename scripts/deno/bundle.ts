import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BunPlugin } from "bun";
import { toBuildConfig } from "../binary/compile.ts";
import { root } from "../command.ts";

const src = join(root, "src");

export interface Bundle {
  /** The path of the file to run. */
  readonly main: string;
  /** The paths of the Workers, which `main` starts. */
  readonly workers: readonly string[];
}

/**
 * Bundles the relay and its packages for Deno into JavaScript files in `folder`, which need no node_modules. `commit` is what `--version`
 * prints. Throws if the build fails.
 */
export async function bundleForDeno(folder: string, commit: string): Promise<Bundle> {
  const config = await toBuildConfig(commit, "js");
  const result = await Bun.build({
    ...config,
    outdir: folder,
    target: "node",
    plugins: [denoRuntime, ...config.plugins],
  });
  if (!result.success) throw new Error(result.logs.map(String).join("\n") || "the build failed");
  writeFileSync(join(folder, "deno.json"), JSON.stringify({ unstable: UNSTABLE }));
  const entries = result.outputs.filter(({ kind }) => kind === "entry-point").map(({ path }) => path);
  const main = join(folder, "main.js");
  return { main, workers: entries.filter((path) => path !== main) };
}

/** As in deno.json: `reusePort` of `Deno.listen`. */
const UNSTABLE = ["net"];

/** Resolves `#runtime/` as deno.json does. */
const denoRuntime: BunPlugin = {
  name: "deno-runtime",
  setup(build) {
    build.onResolve({ filter: /^#runtime\// }, ({ path }) => ({
      path: join(src, "platform", "runtime", "deno", path.slice("#runtime/".length)),
    }));
  },
};
