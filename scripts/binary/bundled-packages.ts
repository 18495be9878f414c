import { join } from "node:path";
import { root } from "../command.ts";
import { type LockedPackage, readLock } from "../install/bun-lock.ts";

/** A package whose code is in the executable. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** The SPDX expression of its package.json. */
  readonly license: string;
  /** The SHA-512 of its tarball, in hexadecimal. */
  readonly sha512: string;
  /** Its dependencies that are in the executable as well, as `name@version`. */
  readonly needs: readonly string[];
}

/**
 * Returns the packages of the files that the bundler read, so that the list is exactly what is in the executable. Throws if
 * one is not in bun.lock, or names no license.
 */
export async function findBundledPackages(files: readonly string[]): Promise<readonly BundledPackage[]> {
  const lock = readLock(await Bun.file(join(root, "bun.lock")).text());
  const paths = new Set(files.map(toPackagePath).filter((path) => path !== ""));
  const bundled = lock.packages.filter(({ path }) => paths.has(path));
  const known = new Set(bundled.map(({ path }) => path));
  const unlocked = [...paths].filter((path) => !known.has(path));
  if (unlocked.length > 0)
    throw new Error(`packages in the executable are not in bun.lock: ${unlocked.join(", ")}`);
  return Promise.all(
    bundled.map(async (each) => {
      const needs = lock.findDependencies(each).filter((needed) => bundled.includes(needed));
      return { ...(await describe(each)), needs: [...new Set(needs.map(({ id }) => id))] };
    }),
  );
}

/** Converts a path to the key of bun.lock: `node_modules/a/node_modules/b/index.js` becomes `a/b`. */
function toPackagePath(file: string): string {
  return Array.from(file.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g), ([, name]) => name).join("/");
}

async function describe({ path, id, integrity }: LockedPackage): Promise<Omit<BundledPackage, "needs">> {
  const folder = path.replaceAll(/((?:@[^/]+\/)?[^/]+)(\/|$)/g, "node_modules/$1/");
  const { license } = (await Bun.file(join(root, folder, "package.json")).json()) as Licensed;
  const expression = typeof license === "object" ? license.type : license;
  if (expression === undefined) throw new Error(`${id} has no license in its package.json`);
  const at = id.lastIndexOf("@");
  return { name: id.slice(0, at), version: id.slice(at + 1), license: expression, sha512: toHex(integrity) };
}

interface Licensed {
  /** Old packages have an object. */
  readonly license?: string | { readonly type?: string };
}

/** Converts `sha512-` and base64 to hexadecimal. */
export function toHex(integrity: string): string {
  return Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex");
}
