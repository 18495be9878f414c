// `npm run build:deno`: bundles the relay for Deno into dist/deno, and makes one executable of it with `deno compile`.
//   npm run build:deno -- [--outfile <path>] [--bundle-only]
// `deno compile` downloads a part of the executable from dl.deno.land, unless DENORT_BIN names it. The bundle needs no network:
// `deno run` runs it, without node_modules.
import { rmSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { readCommit } from "./binary/commit.ts";
import { root } from "./command.ts";
import { bundleForDeno } from "./deno/bundle.ts";
import { compileForDeno } from "./deno/compile.ts";
import { findDeno } from "./deno/deno-program.ts";

try {
  const { values } = parseArgs({
    options: { outfile: { type: "string" }, "bundle-only": { type: "boolean", default: false } },
  });
  const folder = join(root, "dist", "deno");
  // Chunks of an earlier build have other names.
  rmSync(folder, { recursive: true, force: true });
  const bundle = await bundleForDeno(folder, readCommit().shown);
  const shown = (path: string) => relative(process.cwd(), path);
  console.log(`bundled ${shown(bundle.main)}`);
  if (!values["bundle-only"]) {
    const deno = findDeno();
    if (deno === undefined) throw new Error("npm has no Deno for this platform");
    const outfile = values.outfile ?? join(root, "dist", "statsig-forward-proxy-deno");
    await compileForDeno(deno, bundle, outfile);
    console.log(`built ${shown(outfile)}`);
  }
} catch (error) {
  console.error(`build-deno: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
