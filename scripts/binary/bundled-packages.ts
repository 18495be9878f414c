import { join } from "node:path";
import { root } from "../command.ts";
import { type LockedPackage, readLock } from "../install/bun-lock.ts";

/** A package of which code is in the executable. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** As its package.json says: an SPDX expression. */
  readonly license: string;
  /** The SHA-512 of its tarball, hexadecimal. */
  readonly sha512: string;
  /** `name@version` of the bundled packages that it needs. */
  readonly needs: readonly string[];
}

/** From the files that the bundler took, so that nothing is told of that is not in it, and nothing left out. */
export async function bundledPackages(files: readonly string[]): Promise<readonly BundledPackage[]> {
  const lock = readLock(await Bun.file(join(root, "bun.lock")).text());
  const paths = new Set(files.map(packagePath).filter((path) => path !== ""));
  const bundled = lock.packages.filter(({ path }) => paths.has(path));
  const known = new Set(bundled.map(({ path }) => path));
  const unlocked = [...paths].filter((path) => !known.has(path));
  if (unlocked.length > 0) throw new Error(`not in bun.lock, but in the executable: ${unlocked.join(", ")}`);
  return Promise.all(
    bundled.map(async (each) => {
      const needs = lock.findDependencies(each).filter((needed) => bundled.includes(needed));
      return { ...(await describe(each)), needs: [...new Set(needs.map(({ id }) => id))] };
    }),
  );
}

/** As bun.lock has it: `node_modules/a/node_modules/b/index.js` is of `a/b`. */
function packagePath(file: string): string {
  return Array.from(file.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g), ([, name]) => name).join("/");
}

async function describe({ path, id, integrity }: LockedPackage): Promise<Omit<BundledPackage, "needs">> {
  const folder = path.replaceAll(/((?:@[^/]+\/)?[^/]+)(\/|$)/g, "node_modules/$1/");
  const { license } = (await Bun.file(join(root, folder, "package.json")).json()) as Licensed;
  const expression = typeof license === "object" ? license.type : license;
  if (expression === undefined) throw new Error(`${id} names no licence in its package.json`);
  const at = id.lastIndexOf("@");
  return { name: id.slice(0, at), version: id.slice(at + 1), license: expression, sha512: hexOf(integrity) };
}

interface Licensed {
  /** An object in old packages. */
  readonly license?: string | { readonly type?: string };
}

/** Of `sha512-` and base64. */
export function hexOf(integrity: string): string {
  return Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex");
}
