// `bun run build`: one executable with everything in it, dist/statsig-forward-proxy.
//   bun run build [--outfile <path>] [--target linux-arm64]
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { currentCommit } from "./binary/commit.ts";
import { compile } from "./binary/compile.ts";
import { readyRuntime } from "./binary/runtimes.ts";
import { TARGETS, targetNamed } from "./binary/targets.ts";
import { root } from "./command.ts";

try {
  const { values } = parseArgs({ options: { outfile: { type: "string" }, target: { type: "string" } } });
  const outfile = values.outfile ?? join(root, "dist", "statsig-forward-proxy");
  const target = values.target === undefined ? undefined : TARGETS[targetNamed(values.target)];
  await compile({
    outfile,
    commit: currentCommit().shown,
    ...(target && { target: { compile: target.compile, executablePath: await readyRuntime(target) } }),
  });
  console.log(`built ${relative(process.cwd(), outfile)}`);
} catch (error) {
  console.error(`build: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
