// Generates src/gen from proto/, without a network: buf and the plugin come from node_modules. And the tables of options and metrics, and the programs that docs show.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { npmCommand, root, run } from "./command.ts";
import { writeConfigurationTables } from "./configuration-tables.ts";
import { writeExampleSnippets } from "./example-snippets.ts";
import { writeMetricTables } from "./metric-tables.ts";

async function generate(into: string): Promise<boolean> {
  const PATH = [join(root, "node_modules", ".bin"), process.env["PATH"]].join(delimiter);
  return (await run([...npmCommand("buf"), "generate", "--output", into], { PATH })) === 0;
}

/** Whether src/gen is exactly what the protos give; names the files that are not. */
export async function generatedCodeIsCurrent(): Promise<boolean> {
  const fresh = await mkdtemp(join(tmpdir(), "sfp-gen-"));
  try {
    if (!(await generate(fresh))) return false;
    const [want, have] = await Promise.all([filesIn(join(fresh, "src/gen")), filesIn(join(root, "src/gen"))]);
    const names = [...new Set([...want.keys(), ...have.keys()])].sort();
    const differing = names.filter((name) => want.get(name) !== have.get(name));
    for (const name of differing)
      console.error(`src/gen/${name} is not what proto/ gives: run \`bun run gen\``);
    return differing.length === 0;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function filesIn(dir: string): Promise<Map<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const read = paths.map(async (path) => [path.slice(dir.length + 1), await readFile(path, "utf8")] as const);
  return new Map(await Promise.all(read));
}

if (import.meta.main) {
  if (!(await generate(root))) process.exitCode = 1;
  await writeMetricTables();
  await writeConfigurationTables();
  await writeExampleSnippets();
}
