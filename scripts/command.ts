import { dirname, join } from "node:path";

/** The project's directory. Everything here runs in it, wherever it was called from. */
export const root = dirname(import.meta.dir);

/** Runs a command in the project with its output shown as it comes; resolves to its exit code. */
export function run(command: readonly string[], env: Record<string, string> = {}): Promise<number> {
  return Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  }).exited;
}

/** The argv of an npm package's command, run by this Bun: it needs no PATH and no Node. */
export function npmCommand(name: string): string[] {
  return [process.execPath, join(root, "node_modules", ".bin", name)];
}
