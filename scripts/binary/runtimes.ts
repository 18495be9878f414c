import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "../command.ts";
import { withInstallLock } from "../install-lock.mjs";
import { runInstaller } from "../installer.mjs";
import { RUNTIME_VERSION, type Target } from "./targets.ts";

const TIME_LIMIT_MS = 5 * 60_000;
const RUNTIMES_HOME = join(root, ".bun", "runtimes");

/**
 * The path of Bun's executable for a target, fetched from the npm registry once. Left to itself `bun build` would
 * fetch it, too, but check it against nothing.
 */
export async function readyRuntime({ runtime, integrity }: Target, home = RUNTIMES_HOME): Promise<string> {
  const folder = join(home, `${runtime.replace("@oven/", "")}-${RUNTIME_VERSION}`);
  const executable = join(folder, "bun");
  if (existsSync(executable)) return executable;
  mkdirSync(home, { recursive: true });
  const signal = AbortSignal.timeout(TIME_LIMIT_MS);
  await withInstallLock(join(home, "installing"), signal, async () => {
    if (existsSync(executable)) return;
    console.error(`Fetching ${runtime} ${RUNTIME_VERSION} (once)`);
    const aside = mkdtempSync(join(home, "new-"));
    try {
      await fetchRuntime({ id: `${runtime}@${RUNTIME_VERSION}`, integrity, aside, signal });
      renameSync(aside, folder);
    } finally {
      rmSync(aside, { recursive: true, force: true });
    }
  });
  return executable;
}

interface Fetching {
  readonly id: string;
  readonly integrity: string;
  readonly aside: string;
  readonly signal: AbortSignal;
}

// `npm pack` fetches a package of any kind of machine, where `npm install` would refuse one that is not this.
async function fetchRuntime({ id, integrity, aside, signal }: Fetching): Promise<void> {
  const quick = ["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=10000"];
  await runInstaller(["npm", "pack", id, "--ignore-scripts", "--loglevel=error", ...quick], aside, signal);
  const tarball = readdirSync(aside).find((name) => name.endsWith(".tgz"));
  if (tarball === undefined) throw new Error(`npm pack ${id} left no tarball`);
  const bytes = await Bun.file(join(aside, tarball)).bytes();
  const actual = `sha512-${new Bun.CryptoHasher("sha512").update(bytes).digest("base64")}`;
  if (actual !== integrity) {
    throw new Error(`${id} from the npm registry is ${actual}, scripts/binary/targets.ts says ${integrity}`);
  }
  await runInstaller(["tar", "-xzf", tarball, "--strip-components=2", "package/bin/bun"], aside, signal);
  rmSync(join(aside, tarball));
  chmodSync(join(aside, "bun"), 0o755);
}
