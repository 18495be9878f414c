import { chmodSync, linkSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { root } from "../command.ts";
import { runInstaller } from "../install/installer.mjs";
import { fetchOnce } from "../install/npm-tarball.ts";
import { RUNTIME_VERSION, type Target } from "./targets.ts";

const RUNTIMES_HOME = join(root, ".bun", "runtimes");

/**
 * Returns the path of Bun's executable for a target. The first call fetches it from the npm registry and checks its hash;
 * `bun build` would fetch it without a check.
 */
export async function fetchRuntime({ runtime, integrity }: Target, home = RUNTIMES_HOME): Promise<string> {
  const folder = join(home, `${runtime.replace("@oven/", "")}-${RUNTIME_VERSION}`);
  const pinned = { id: `${runtime}@${RUNTIME_VERSION}`, integrity, pinnedIn: "scripts/binary/targets.ts" };
  await fetchOnce(folder, pinned, async ({ aside, tarball, signal }) => {
    await runInstaller(["tar", "-xzf", tarball, "--strip-components=2", "package/bin/bun"], aside, signal);
    const file = join(aside, "bun");
    chmodSync(file, 0o755);
    shareFile(file, process.execPath);
  });
  return join(folder, "bun");
}

/** Makes `file` another name of `other` if their contents are equal, so that this machine's Bun is on disk once. */
function shareFile(file: string, other: string): void {
  const isEqual =
    statSync(file).size === statSync(other).size && readFileSync(file).equals(readFileSync(other));
  if (!isEqual) return;
  const shared = `${file}-shared`;
  try {
    linkSync(other, shared);
  } catch {
    // Another file system: the copy stays.
    return;
  }
  renameSync(shared, file);
}
