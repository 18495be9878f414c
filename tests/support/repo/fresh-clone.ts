import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { root } from "../../../scripts/command.ts";
import { exitOf } from "../common/exit-of.ts";
import { Output } from "../common/output.ts";
import { within } from "../common/wait.ts";
import { pathWithoutBun } from "./small-clone.ts";

const STOP_LIMIT_MS = 30_000;

/** What a user behind a proxy or a mirror has to set to reach the npm registry. */
const NETWORK_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]
  .flatMap((name) => [name, name.toLowerCase()])
  .concat("NODE_EXTRA_CA_CERTS", "npm_config_registry");

/** A command that runs in the clone as a user types it. Disposing kills it with all of its processes. */
export class ShellCommand implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #output: Output;

  constructor(command: string, cwd: string, env: Readonly<Record<string, string>>) {
    // A process group of its own, as an interactive shell gives each command.
    this.#child = spawn("sh", ["-c", command], {
      cwd,
      env,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#output = new Output(this.#child.stdout, this.#child.stderr);
  }

  get output(): string {
    return this.#output.text;
  }

  /** Resolves when the output matches. Rejects with the output if the command ends before, or after `ms`. */
  async prints(pattern: RegExp, ms: number): Promise<void> {
    const printed = this.#output.until((text) => pattern.test(text) || undefined);
    const ended = exitOf(this.#child).then((code) => {
      if (!pattern.test(this.output)) throw new Error(`exit code ${code}`);
    });
    await this.#explained(within(Promise.race([printed, ended]), ms, String(pattern)));
  }

  /** Resolves with the exit code. Rejects with the output after `ms`. */
  ends(ms: number): Promise<number> {
    return this.#explained(within(exitOf(this.#child), ms, "the end of the command"));
  }

  /** Presses Ctrl-C: a terminal sends the signal to the whole group. Resolves with the exit code, or the signal that ended it. */
  async interrupt(): Promise<number | string> {
    this.#kill("SIGINT");
    const code = await this.ends(STOP_LIMIT_MS);
    return this.#child.signalCode ?? code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill("SIGKILL");
    await exitOf(this.#child);
  }

  #kill(signal: NodeJS.Signals): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, signal);
    } catch {
      // Nothing of the group runs any longer.
    }
  }

  async #explained<T>(promise: Promise<T>): Promise<T> {
    try {
      return await promise;
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}, after\n${this.output}`);
    }
  }
}

/**
 * A clone of this repository, with uncommitted changes, and the environment of a user who has Node.js, npm, git and the programs of the
 * system: an empty home, no Bun on the PATH. The caches of npm and Bun are those of this machine, so that it needs no network.
 */
export class FreshClone implements Disposable {
  readonly folder: string;
  readonly #home: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor() {
    const parent = mkdtempSync(join(tmpdir(), "sfp-newcomer-"));
    this.#home = join(parent, "home");
    this.folder = join(parent, "statsig-forward-proxy");
    mkdirSync(this.#home);
    git(root, "clone", "--quiet", root, this.folder);
    copyChanges(this.folder);
    const network = NETWORK_VARIABLES.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    this.#env = {
      ...Object.fromEntries(network),
      HOME: this.#home,
      PATH: pathWithoutBun(),
      npm_config_userconfig: process.env["npm_config_userconfig"] ?? join(homedir(), ".npmrc"),
      npm_config_cache: process.env["npm_config_cache"] ?? join(homedir(), ".npm"),
      BUN_INSTALL_CACHE_DIR: process.env["BUN_INSTALL_CACHE_DIR"] ?? join(homedir(), ".bun/install/cache"),
    };
  }

  start(command: string, env: Readonly<Record<string, string>> = {}): ShellCommand {
    return new ShellCommand(command, this.folder, { ...this.#env, ...env });
  }

  [Symbol.dispose](): void {
    rmSync(dirname(this.folder), { recursive: true, force: true });
  }
}

/** Copies what `git status` shows: without it, a test would run the last commit instead of the files that someone works on. */
function copyChanges(to: string): void {
  const list = git(root, "ls-files", "--modified", "--others", "--exclude-standard", "-z");
  for (const path of list.split("\0").filter((each) => each !== "")) {
    mkdirSync(dirname(join(to, path)), { recursive: true });
    if (existsSync(join(root, path))) cpSync(join(root, path), join(to, path));
    else rmSync(join(to, path), { force: true });
  }
}

function git(cwd: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync("git", args, { cwd, encoding: "utf8", timeout: 60_000 });
  if (status !== 0) throw new Error(`git ${args.join(" ")}: ${stderr}`);
  return stdout;
}
