// Generates src/gen from proto/. It needs no network: buf and its plugin come from node_modules.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { npmCommand, root, run } from "../command.ts";

/** Writes src/gen below the folder `into`. Returns false if buf failed; its output is shown. */
export async function generateProtobuf(into: string = root): Promise<boolean> {
  const PATH = [join(root, "node_modules", ".bin"), process.env["PATH"]].join(delimiter);
  return (await run([...npmCommand("buf"), "generate", "--output", into], { PATH })) === 0;
}

/** Compares src/gen with what proto/ generates and returns one line per file that differs. */
export async function findStaleProtobuf(): Promise<string[]> {
  const fresh = await mkdtemp(join(tmpdir(), "sfp-gen-"));
  try {
    if (!(await generateProtobuf(fresh))) return ["buf generate failed"];
    const [want, have] = await Promise.all([
      readFiles(join(fresh, "src/gen")),
      readFiles(join(root, "src/gen")),
    ]);
    const names = [...new Set([...want.keys(), ...have.keys()])].sort();
    return names
      .filter((name) => want.get(name) !== have.get(name))
      .map((name) => `src/gen/${name} is stale: run \`npm run gen\``);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function readFiles(dir: string): Promise<Map<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const read = paths.map(async (path) => [path.slice(dir.length + 1), await readFile(path, "utf8")] as const);
  return new Map(await Promise.all(read));
}
