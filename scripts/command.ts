import { dirname, join } from "node:path";

/** The project's root folder. All scripts run in it, whatever the current directory is. */
export const root = dirname(import.meta.dir);

/** Runs a command in the project, with its output on the terminal. Resolves to its exit code. */
export function run(command: readonly string[], env: Record<string, string> = {}): Promise<number> {
  return Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  }).exited;
}

/** Returns the argv that runs a command of an npm package with this Bun, which needs neither a PATH nor Node.js. */
export function npmCommand(name: string): string[] {
  return [process.execPath, join(root, "node_modules", ".bin", name)];
}
