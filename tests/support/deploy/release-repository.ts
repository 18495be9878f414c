import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));

const CHANGELOG = `# Changelog

## Unreleased

### Added

- Something new.

## 0.0.9 - 2020-01-01

- Something old.
`;

const IDENTITY = { NAME: "Releaser", EMAIL: "releaser@example.com" };

/** A temporary repository with the files that a release changes, and one commit on main. */
export class ReleaseRepository implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "sfp-release-"));

  constructor() {
    for (const name of [
      "scripts",
      "deploy",
      "docs",
      "Dockerfile",
      "README.md",
      "package.json",
      ".gitignore",
    ]) {
      cpSync(join(root, name), join(this.path, name), { recursive: true });
    }
    this.write("CHANGELOG.md", CHANGELOG);
    this.git("init", "--quiet", "--initial-branch=main");
    this.git("add", ".");
    this.git("commit", "--quiet", "--message", "All");
  }

  git(...args: readonly string[]): string {
    const { success, stdout, stderr } = this.#run(["git", ...args]);
    if (!success) throw new Error(stderr.toString());
    return stdout.toString().trim();
  }

  release(...args: readonly string[]): { exitCode: number; stdout: string; stderr: string } {
    const { exitCode, stdout, stderr } = this.#run([process.execPath, "scripts/release.ts", ...args]);
    return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  /** Returns what a command prints in the repository, whether it fails or not. */
  run(...command: readonly string[]): string {
    return this.#run([...command])
      .stdout.toString()
      .trim();
  }

  read(file: string): string {
    return readFileSync(join(this.path, file), "utf8");
  }

  write(file: string, text: string): void {
    writeFileSync(join(this.path, file), text);
  }

  #run(command: string[]) {
    const entries = Object.entries(IDENTITY).flatMap(([name, value]) => [
      [`GIT_AUTHOR_${name}`, value],
      [`GIT_COMMITTER_${name}`, value],
    ]);
    const env = { ...process.env, ...Object.fromEntries(entries), GIT_CONFIG_GLOBAL: "/dev/null" };
    return Bun.spawnSync(command, { cwd: this.path, env, timeout: 60_000 });
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
