// `npm run build:all`: builds the executable for every platform, each with its SHA-256 and its bill of materials.
//   npm run build:all -- [--outdir <folder>] [--targets linux-x64,linux-arm64]
import { mkdirSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { findBundledPackages } from "./binary/bundled-packages.ts";
import { type Commit, readCommit } from "./binary/commit.ts";
import { compile } from "./binary/compile.ts";
import { fetchRuntime } from "./binary/runtimes.ts";
import { createBillOfMaterials } from "./binary/sbom.ts";
import { parseTargetName, TARGET_NAMES, TARGETS, type TargetName } from "./binary/targets.ts";
import { root } from "./command.ts";

try {
  const { values } = parseArgs({ options: { outdir: { type: "string" }, targets: { type: "string" } } });
  const outdir = values.outdir ?? join(root, "dist");
  const names = values.targets === undefined ? TARGET_NAMES : values.targets.split(",").map(parseTargetName);
  mkdirSync(outdir, { recursive: true });
  const commit = readCommit();
  const sums: string[] = [];
  for (const name of names) sums.push(...(await buildOne(name, outdir, commit)));
  await Bun.write(join(outdir, "SHA256SUMS"), sums.join(""));
  console.log(`built ${names.length} executables in ${relative(process.cwd(), outdir) || "."}`);
} catch (error) {
  console.error(`build:all: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

/** Builds for one target and returns its lines of SHA256SUMS, which `sha256sum --check` reads. */
async function buildOne(name: TargetName, outdir: string, commit: Commit): Promise<string[]> {
  const target = TARGETS[name];
  const fileName = `statsig-forward-proxy-${name}`;
  const outfile = join(outdir, fileName);
  const executablePath = await fetchRuntime(target);
  const runtime = { compile: target.compile, executablePath };
  const files = await compile({ outfile, commit: commit.shown, target: runtime });
  const sha256 = await hashFile(outfile);
  const line = `${sha256}  ${fileName}\n`;
  await Bun.write(`${outfile}.sha256`, line);
  const packages = await findBundledPackages(files);
  const bill = `${outfile}.cdx.json`;
  await Bun.write(bill, createBillOfMaterials({ fileName, sha256, target, commit, packages }));
  console.log(`built ${fileName}`);
  return [line, `${await hashFile(bill)}  ${fileName}.cdx.json\n`];
}

async function hashFile(path: string): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk);
  return hasher.digest("hex");
}
