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

/** Returns the command that runs the relay of a checkout from its sources, before all arguments of the relay. */
export function toDenoCommand(deno: string, checkout = root): string[] {
  // Without --no-prompt it would ask on a terminal for a permission that it lacks. --no-lock: the packages are those of bun.lock.
  return [deno, "run", "--no-prompt", "--no-lock", ...PERMISSIONS, join(checkout, "src", "main.ts")];
}
