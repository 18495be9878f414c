import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root } from "../../../scripts/command.ts";
import { exitOf } from "../common/exit-of.ts";
import { Output } from "../common/output.ts";
import type { NpmRegistry, Published } from "./npm-registry.ts";

const NEEDED = "small-dependency";
const FOR_DEVELOPMENT = "small-tool";

/** The packages that a {@link SmallClone} installs: Bun, one to run and one for development. */
export const SMALL_PACKAGES: readonly Published[] = [
  { manifest: { name: "bun", version: Bun.version, optionalDependencies: { "@oven/bun": Bun.version } } },
  // Instead of 100 MB, a script that runs the Bun of this process.
  {
    manifest: { name: "@oven/bun", version: Bun.version },
    files: { "bin/bun": `#!/bin/sh\nexec "${process.execPath}" "$@"\n` },
  },
  { manifest: { name: NEEDED, version: "1.0.0" }, files: { "index.js": "export default 'needed';" } },
  { manifest: { name: FOR_DEVELOPMENT, version: "1.0.0" }, files: { "index.js": "export default 'tool';" } },
];

export interface Ran {
  readonly code: number;
  readonly output: string;
}

/** A clone of a project with this project's installation scripts, two small packages, and scripts that import them. */
export class SmallClone implements Disposable {
  readonly folder: string;
  /** The home folder, with npm's and Bun's caches. */
  readonly home: string;

  /** The clone gets the home of another one, or an empty one. */
  constructor(registry: NpmRegistry, home?: string) {
    this.folder = mkdtempSync(join(tmpdir(), "sfp-clone-"));
    this.home = home ?? join(this.folder, "home");
    mkdirSync(this.home, { recursive: true });
    for (const path of ["scripts/with-bun.mjs", "scripts/install"]) {
      cpSync(join(root, path), join(this.folder, path), { recursive: true });
    }
    const groups = { dependencies: { [NEEDED]: "1.0.0" }, devDependencies: { [FOR_DEVELOPMENT]: "1.0.0" } };
    this.write("package.json", JSON.stringify({ name: "clone", engines: { bun: Bun.version }, ...groups }));
    const locked = (name: string) => [`${name}@1.0.0`, "", {}, registry.integrityOf(name)];
    const packages = { [NEEDED]: locked(NEEDED), [FOR_DEVELOPMENT]: locked(FOR_DEVELOPMENT) };
    const workspaces = { "": { name: "clone", ...groups } };
    this.write("bun.lock", JSON.stringify({ lockfileVersion: 1, workspaces, packages }));
    // This name is that of a script that needs no packages for development.
    this.write("src/main.ts", `import needed from "${NEEDED}"; console.log("runs with", needed);`);
    this.write("scripts/all.ts", `import tool from "${FOR_DEVELOPMENT}"; console.log("runs with", tool);`);
  }

  /** Writes a file; the path is relative to the clone. */
  write(path: string, content: string): string {
    const full = join(this.folder, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content);
    return full;
  }

  /** Runs a script as package.json would, with no Bun on the PATH and only these variables. */
  run(
    script: string,
    env: Readonly<Record<string, string>> = {},
    nodeFlags: readonly string[] = [],
  ): Promise<Ran> {
    return this.#spawn(["node", ...nodeFlags, "scripts/with-bun.mjs", script], env);
  }

  /** The same for a command of a shell. */
  runShell(command: string, env: Readonly<Record<string, string>> = {}): Promise<Ran> {
    return this.#spawn(["sh", "-c", command], env);
  }

  async #spawn(
    [command = "", ...args]: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<Ran> {
    const child = spawn(command, args, {
      cwd: this.folder,
      env: { PATH: pathWithoutBun(), HOME: this.home, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 100_000,
    });
    const output = new Output(child.stdout, child.stderr);
    const code = await exitOf(child);
    return { code, output: output.text };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Returns the folders of the PATH that contain no Bun. */
export function pathWithoutBun(): string {
  const folders = (process.env["PATH"] ?? "")
    .split(":")
    .filter((each) => Bun.which("bun", { PATH: each }) === null);
  return folders.join(":");
}
