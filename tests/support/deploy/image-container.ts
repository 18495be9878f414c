import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { exitOf } from "../common/exit-of.ts";
import { Output } from "../common/output.ts";
import { within } from "../common/wait.ts";
import type { FinalImage } from "./final-image.ts";
import type { ImageRoot } from "./image-root.ts";

/** Prepares the root as an engine does: read-only except the volume, with /proc and a few devices. */
const SET_UP = `
set -eu
root=$1 volume=$2 at=$3
shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 devices "$root/dev"
for device in null zero random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount --bind "$volume" "$root$at"
mount -o remount,bind,ro "$root"
exec "$@"
`;

/** Returns why this machine cannot run containers, or undefined if it can: that needs root and namespaces. */
export function whyNoContainers(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "this needs root on Linux";
  for (const command of ["unshare", "apt-get", "dpkg"]) {
    if (Bun.which(command) === null) return `there is no ${command}`;
  }
  const tried = Bun.spawnSync([
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "mount",
    "-t",
    "tmpfs",
    "none",
    "/mnt",
  ]);
  return tried.success ? undefined : "the kernel does not allow namespaces";
}

export interface ContainerOptions {
  readonly root: ImageRoot;
  readonly image: FinalImage;
  /** A folder of this machine that is mounted as the image's volume. */
  readonly volume: string;
  /** Added to the image's variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** The user and group ID instead of the image's, as `docker run --user` sets them. */
  readonly user?: number;
}

/** A process in the image's root as the image's user, with PID 1 in its own namespace. It uses this machine's network. */
export class ImageContainer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #output: Output;

  constructor(command: readonly string[], { root, image, volume, env = {}, user: id }: ContainerOptions) {
    const all = { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/home/nonroot", ...image.env, ...env };
    const variables = Object.entries(all).map(([name, value]) => `${name}=${value}`);
    const inRoot = [
      ...["env", "-i", ...variables, Bun.which("unshare") ?? "unshare"],
      ...["--root", root.path, "--wd", image.workdir],
      ...["--setgid", String(id ?? image.gid), "--setuid", String(id ?? image.uid), "--", ...command],
    ];
    this.#child = spawn(
      "unshare",
      [
        ...["--mount", "--pid", "--fork", "--kill-child=SIGKILL", "sh", "-c", SET_UP, "sh"],
        ...[root.path, volume, image.volume, ...inRoot],
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    this.#output = new Output(this.#child.stdout, this.#child.stderr);
  }

  get output(): string {
    return this.#output.text;
  }

  /** Resolves when the relay serves. */
  async serving(): Promise<void> {
    const ended = exitOf(this.#child).then((code) => {
      throw new Error(`the container ended with exit code ${code}:\n${this.output}`);
    });
    ended.catch(() => undefined);
    const found = this.#output.until((text) => (/ serving\b/.test(text) ? true : undefined));
    await within(Promise.race([found, ended]), 20_000, "the container to serve");
  }

  /** Signals the first process of the container, a child of the process that created it, and waits for its exit code. */
  async stop(signal: string): Promise<number> {
    const first = this.#firstProcess();
    if (first === undefined) throw new Error("the container has no process");
    process.kill(first, signal as NodeJS.Signals);
    return this.exited();
  }

  /** Resolves with the exit code when all output has been read. */
  async exited(): Promise<number> {
    if (this.#child.exitCode === null) {
      await within(once(this.#child, "close"), 20_000, "the container to end");
    }
    return this.#child.exitCode ?? -1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // All of its namespace ends with it. `--kill-child` alone leaves it running, since a change of the user clears that signal.
    const first = this.#firstProcess();
    if (first !== undefined) process.kill(first, "SIGKILL");
    this.#child.kill("SIGKILL");
    await exitOf(this.#child);
  }

  /** Returns the ID outside the container of its first process; undefined if it has ended. */
  #firstProcess(): number | undefined {
    const { pid, exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return undefined;
    try {
      const [child = ""] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
      return child === "" ? undefined : Number(child);
    } catch {
      return undefined;
    }
  }
}
