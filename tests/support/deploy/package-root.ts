import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface FinishedCommand {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program that must not ask anything. */
export function runCommand(...command: string[]): FinishedCommand {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, {
    env: { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
    stdin: "ignore",
    timeout: 180_000,
  });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

/** An empty root folder with package databases of its own. Nothing is installed on this machine. */
export class PackageRoot implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "sfp-package-root-"));

  constructor() {
    const database = join(this.path, "var/lib/dpkg");
    for (const folder of ["info", "updates", "triggers"])
      mkdirSync(join(database, folder), { recursive: true });
    for (const file of ["status", "available"]) writeFileSync(join(database, file), "");
  }

  /** Runs dpkg on this root. It has no C library package, and its scripts run outside, with DPKG_ROOT. */
  dpkg(...args: string[]): FinishedCommand {
    const forced = ["--force-depends", "--force-script-chrootless"];
    return runCommand("dpkg", `--root=${this.path}`, ...forced, ...args);
  }

  /** Runs rpm on this root, without its scripts, which need a shell there. */
  rpm(...args: string[]): FinishedCommand {
    return runCommand("rpm", "--root", this.path, "--nodeps", "--noscripts", ...args);
  }

  file(path: string): string {
    return join(this.path, path);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
