// `npm run build`: builds dist/statsig-forward-proxy, one executable that contains everything.
//   npm run build -- [--outfile <path>] [--target linux-arm64]
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { readCommit } from "./binary/commit.ts";
import { compile } from "./binary/compile.ts";
import { fetchRuntime } from "./binary/runtimes.ts";
import { parseTargetName, TARGETS } from "./binary/targets.ts";
import { root } from "./command.ts";

try {
  const { values } = parseArgs({ options: { outfile: { type: "string" }, target: { type: "string" } } });
  const outfile = values.outfile ?? join(root, "dist", "statsig-forward-proxy");
  const target = values.target === undefined ? undefined : TARGETS[parseTargetName(values.target)];
  await compile({
    outfile,
    commit: readCommit().shown,
    ...(target && { target: { compile: target.compile, executablePath: await fetchRuntime(target) } }),
  });
  console.log(`built ${relative(process.cwd(), outfile)}`);
} catch (error) {
  console.error(`build: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
