import { chmodSync } from "node:fs";
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
    chmodSync(join(aside, "bun"), 0o755);
  });
  return join(folder, "bun");
}
