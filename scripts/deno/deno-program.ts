import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "../command.ts";

/**
 * What `deno run` must allow the relay: its ports and requests, its files, its variables, facts of the machine such as the number of
 * CPUs, and calls to the C library. It starts no programs and loads no code from the network.
 */
export const PERMISSIONS: readonly string[] = [
  "--allow-net",
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-ffi",
];

/**
 * Returns the path of the Deno that package.json pins, or undefined on a platform for which npm has none, such as Alpine Linux. Its binary
 * is a package of its own for each platform, and is used in place: Deno's install script would only copy it.
 */
export function findDeno(): string | undefined {
  const libc = process.platform === "linux" ? "-glibc" : "";
  const name = `${process.platform}-${process.arch}${libc}`;
  const binary = join(root, "node_modules", "@deno", name, "deno");
  return existsSync(binary) ? binary : undefined;
}

/**
 * Returns the command that runs the relay, before all arguments of the relay: from its sources, or from the file `main` of a bundle.
 * `flags` are further ones of Deno. It works on the checkout's deno.json or on that beside `main`.
 */
export function toDenoCommand(
  deno: string,
  main = join(root, "src", "main.ts"),
  flags: readonly string[] = [],
): string[] {
  return [
    // Otherwise Deno asks dl.deno.land for its newest version.
    ...["env", "DENO_NO_UPDATE_CHECK=1"],
    // Without --no-prompt it would ask on a terminal for a permission that it lacks. --no-lock: the packages are those of bun.lock.
    ...[deno, "run", "--no-prompt", "--no-lock", ...PERMISSIONS, ...flags, main],
  ];
}
