// `npm run build`: builds dist/statsig-forward-proxy, one executable that contains everything.
//   npm run build -- [--outfile <path>] [--target linux-arm64]
// With --image-root <folder>, it puts the executable and its links into that folder, as they are in the image.
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { readCommit } from "./binary/commit.ts";
import { compile } from "./binary/compile.ts";
import { createLinks, executableIn } from "./binary/image-root.ts";
import { fetchRuntime } from "./binary/runtimes.ts";
import { parseTargetName, TARGETS } from "./binary/targets.ts";
import { root } from "./command.ts";

try {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { outfile: text, "image-root": text, target: text } });
  const imageRoot = values["image-root"];
  const outfile =
    imageRoot === undefined
      ? (values.outfile ?? join(root, "dist", "statsig-forward-proxy"))
      : executableIn(imageRoot);
  const target = values.target === undefined ? undefined : TARGETS[parseTargetName(values.target)];
  await compile({
    outfile,
    commit: readCommit().shown,
    ...(target && { target: { compile: target.compile, executablePath: await fetchRuntime(target) } }),
  });
  if (imageRoot !== undefined) createLinks(imageRoot);
  console.log(`built ${relative(process.cwd(), outfile)}`);
} catch (error) {
  console.error(`build: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
