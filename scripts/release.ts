// `npm run release -- 0.2.0`: sets the version, moves the unreleased notes, commits, builds into dist/ and tags. It does not push.
//   npm run release -- <version> [--dry-run] [--build <command>]
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root, run } from "./command.ts";
import { readUnreleasedNotes, withRelease } from "./release/changelog.ts";
import { checkRepository, git } from "./release/git.ts";
import { VERSION_PLACES, withVersion } from "./release/version-places.ts";

const OPTIONS = {
  "dry-run": { type: "boolean", default: false },
  /** Replaces the builds below. */
  build: { type: "string" },
} as const;

const BUILDS = ["build-all.ts", "package-chart.ts"].map((script) => [
  process.execPath,
  join(root, "scripts", script),
]);

interface Plan {
  readonly version: string;
  readonly tag: string;
  readonly notes: string;
  /** Path -> new content. */
  readonly files: ReadonlyMap<string, string>;
}

try {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  const [version, ...more] = positionals;
  if (version === undefined || more.length > 0) {
    throw new Error("usage: npm run release -- <version> [--dry-run] [--build <command>]");
  }
  const plan = await planRelease(version);
  if (values["dry-run"]) console.log(describe(plan));
  else await release(plan, values.build === undefined ? BUILDS : [["sh", "-c", values.build]]);
} catch (error) {
  console.error(`release: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

/** Checks everything that can be checked before anything is written. Throws if the release is not possible. */
async function planRelease(version: string): Promise<Plan> {
  const read = (file: string) => Bun.file(join(root, file)).text();
  const { version: current } = JSON.parse(await read("package.json")) as { version: string };
  if (!/^\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$/.test(version)) {
    throw new Error(`invalid version "${version}" (expected one like 1.2.3 or 1.2.3-rc.1)`);
  }
  if (Bun.semver.order(version, current) < 0) throw new Error(`${version} is lower than ${current}`);
  const tag = `v${version}`;
  checkRepository(tag);
  const changelog = await read("CHANGELOG.md");
  const notes = readUnreleasedNotes(changelog);
  if (notes === "") throw new Error("CHANGELOG.md has no notes under Unreleased");
  const today = new Date().toISOString().slice(0, 10);
  const files = new Map([["CHANGELOG.md", withRelease(changelog, version, today)]]);
  for (const { file } of VERSION_PLACES)
    files.set(file, withVersion(file, await read(file), current, version));
  return { version, tag, notes, files };
}

/** Creates the tag last, so that a tag always has a build. A failure resets the repository. */
async function release({ version, tag, notes, files }: Plan, builds: readonly string[][]): Promise<void> {
  const before = git("rev-parse", "HEAD");
  try {
    for (const [file, text] of files) await Bun.write(join(root, file), text);
    git("commit", "--quiet", "--message", `Release ${version}`, "--", ...files.keys());
    for (const command of builds) {
      if ((await run(command)) !== 0) throw new Error(`${command.join(" ")} failed, the release is undone`);
    }
    // Verbatim, since git removes lines that start with #, such as headings of the notes.
    git("tag", "--annotate", tag, "--cleanup=verbatim", "--message", `${version}\n\n${notes}`);
  } catch (error) {
    git("reset", "--hard", "--quiet", before);
    throw error;
  }
  console.log(
    `released ${version}: commit ${git("rev-parse", "--short", "HEAD")}, tag ${tag}, files in dist/`,
  );
  console.log(`To publish it:\n  git push origin ${git("branch", "--show-current")} ${tag}`);
}

function describe({ version, tag, notes, files }: Plan): string {
  const changed = [...files.keys()].map((file) => `  ${file}`).join("\n");
  return `would release ${version} as ${tag}, and change\n${changed}\nwith these notes:\n\n${notes}`;
}
