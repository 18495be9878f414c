// `bun run build:all`: executables for every kind of machine, each with its SHA-256 and its bill of materials.
//   bun run build:all [--outdir <folder>] [--targets linux-x64,linux-arm64]
import { mkdirSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { bundledPackages } from "./binary/bundled-packages.ts";
import { type Commit, currentCommit } from "./binary/commit.ts";
import { compile } from "./binary/compile.ts";
import { readyRuntime } from "./binary/runtimes.ts";
import { billOfMaterials } from "./binary/sbom.ts";
import { TARGET_NAMES, TARGETS, type TargetName, targetNamed } from "./binary/targets.ts";
import { root } from "./command.ts";

try {
  const { values } = parseArgs({ options: { outdir: { type: "string" }, targets: { type: "string" } } });
  const outdir = values.outdir ?? join(root, "dist");
  const names = values.targets === undefined ? TARGET_NAMES : values.targets.split(",").map(targetNamed);
  mkdirSync(outdir, { recursive: true });
  const commit = currentCommit();
  const sums: string[] = [];
  for (const name of names) sums.push(...(await buildOne(name, outdir, commit)));
  await Bun.write(join(outdir, "SHA256SUMS"), sums.join(""));
  console.log(`built ${names.length} executables in ${relative(process.cwd(), outdir) || "."}`);
} catch (error) {
  console.error(`build:all: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

/** Gives the lines of SHA256SUMS, as `sha256sum --check` reads them. */
async function buildOne(name: TargetName, outdir: string, commit: Commit): Promise<string[]> {
  const target = TARGETS[name];
  const fileName = `statsig-forward-proxy-${name}`;
  const outfile = join(outdir, fileName);
  const executablePath = await readyRuntime(target);
  const runtime = { compile: target.compile, executablePath };
  const files = await compile({ outfile, commit: commit.shown, target: runtime });
  const sha256 = await sha256Of(outfile);
  const line = `${sha256}  ${fileName}\n`;
  await Bun.write(`${outfile}.sha256`, line);
  const packages = await bundledPackages(files);
  const bill = `${outfile}.cdx.json`;
  await Bun.write(bill, billOfMaterials({ fileName, sha256, target, commit, packages }));
  console.log(`built ${fileName}`);
  return [line, `${await sha256Of(bill)}  ${fileName}.cdx.json\n`];
}

async function sha256Of(path: string): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk);
  return hasher.digest("hex");
}
