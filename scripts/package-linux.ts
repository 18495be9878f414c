// Packages the executables of `npm run build:all` as .deb and .rpm files.
//   node scripts/with-bun.mjs scripts/package-linux.ts [--outdir <folder>] [--targets linux-x64,linux-arm64]
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readCommit } from "./binary/commit.ts";
import { root } from "./command.ts";
import { buildDeb } from "./packages/deb.ts";
import { PACKAGE_TARGETS, type PackageTarget } from "./packages/linux-package.ts";
import { buildRpm } from "./packages/rpm.ts";

try {
  const { values } = parseArgs({ options: { outdir: { type: "string" }, targets: { type: "string" } } });
  const outdir = values.outdir ?? join(root, "dist");
  const targets = values.targets?.split(",").map(parseTarget) ?? PACKAGE_TARGETS;
  const { version } = (await Bun.file(join(root, "package.json")).json()) as { version: string };
  const timeS = readCommit().timeS ?? 0;
  for (const target of targets) {
    const executable = join(outdir, `statsig-forward-proxy-${target}`);
    if (!existsSync(executable)) throw new Error(`${executable} is missing: run npm run build:all first`);
    const given = { target, executable, version, timeS, outdir };
    console.log(`built ${buildDeb(given)}`);
    console.log(`built ${buildRpm(given)}`);
  }
} catch (error) {
  console.error(`package-linux: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

function parseTarget(word: string): PackageTarget {
  const found = PACKAGE_TARGETS.find((target) => target === word);
  if (found !== undefined) return found;
  throw new Error(`invalid target "${word}" (expected ${PACKAGE_TARGETS.join(", ")})`);
}
