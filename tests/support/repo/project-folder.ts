import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** Path -> content. */
export type Files = Readonly<Record<string, string>>;

/** Calls `find` with a temporary folder that contains these files, and removes it. */
export async function inFolder<T>(files: Files, find: (folder: string) => Promise<T>): Promise<T> {
  await using scope = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "sfp-project-"));
  scope.defer(() => rm(folder, { recursive: true }));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await Bun.write(join(folder, path), content);
  }
  return await find(folder);
}
