import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { withInstallLock } from "./install-lock.mjs";
import { runInstaller } from "./installer.mjs";
import { npmCommand } from "./npm-config.mjs";

/** A package of the npm registry, pinned by its hash. */
export interface PinnedPackage {
  /** `name@version`. */
  readonly id: string;
  /** The SHA-512 of its tarball, as the registry publishes it. */
  readonly integrity: string;
  /** The file that contains the hash, for error messages. */
  readonly pinnedIn: string;
}

export interface Unpacking {
  /** The temporary folder that contains `tarball`. What remains in it after unpacking becomes the folder. */
  readonly aside: string;
  readonly tarball: string;
  readonly signal: AbortSignal;
}

const TIME_LIMIT_MS = 5 * 60_000;

/**
 * Fetches a package and unpacks it into `folder`, unless the folder exists. Concurrent processes fetch it once, and a failure
 * leaves no folder. Throws if the hash of the tarball is not the pinned one.
 */
export async function fetchOnce(
  folder: string,
  pinned: PinnedPackage,
  unpack: (unpacking: Unpacking) => Promise<void>,
): Promise<void> {
  if (existsSync(folder)) return;
  const home = dirname(folder);
  mkdirSync(home, { recursive: true });
  const signal = AbortSignal.timeout(TIME_LIMIT_MS);
  await withInstallLock(join(home, "installing"), signal, async () => {
    if (existsSync(folder)) return;
    console.error(`Fetching ${pinned.id} (once)`);
    const aside = mkdtempSync(join(home, "new-"));
    try {
      const tarball = await fetchTarball(pinned, aside, signal);
      await unpack({ aside, tarball, signal });
      rmSync(join(aside, tarball));
      renameSync(aside, folder);
    } finally {
      rmSync(aside, { recursive: true, force: true });
    }
  });
}

// `npm pack` fetches packages for every platform, while `npm install` refuses those for other platforms.
async function fetchTarball({ id, integrity, pinnedIn }: PinnedPackage, aside: string, signal: AbortSignal) {
  const quick = [
    "--prefer-offline",
    "--fetch-retries=2",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=10000",
  ];
  await runInstaller(
    [...npmCommand(), "pack", id, "--ignore-scripts", "--loglevel=error", ...quick],
    aside,
    signal,
  );
  const tarball = readdirSync(aside).find((name) => name.endsWith(".tgz"));
  if (tarball === undefined) throw new Error(`npm pack ${id} created no tarball`);
  const bytes = await Bun.file(join(aside, tarball)).bytes();
  const actual = `sha512-${new Bun.CryptoHasher("sha512").update(bytes).digest("base64")}`;
  if (actual !== integrity) {
    throw new Error(`${id} from the npm registry is ${actual} (expected ${integrity} by ${pinnedIn})`);
  }
  return tarball;
}
