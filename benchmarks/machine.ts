import os from "node:os";
import { root } from "../scripts/command.ts";
import type { Cores } from "./cores.ts";
import { findCommand } from "./debian-tools.ts";
import type { RelayProgram } from "./relay-program.ts";

/** Machine and versions of a run, without which its results mean nothing. */
export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly bun: string;
  readonly nginx: string;
  readonly wrk: string;
  readonly commit: string;
  readonly pinning: string;
  /** Load average of the minute before; near 0 on an idle machine. */
  readonly load: number;
}

export async function describeMachine(cores: Cores | undefined): Promise<Machine> {
  const changed = (await outputOf("git", "status", "--porcelain", "--untracked-files=no")) !== "";
  const commit = (await outputOf("git", "rev-parse", "--short", "HEAD")) || "unknown";
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: os.cpus()[0]?.model.trim() ?? "unknown",
    cores: os.cpus().length,
    kernel: `${os.type()} ${os.release()}`,
    bun: Bun.version,
    nginx: /nginx\/(\S+)/.exec(await outputOf("nginx", "-v"))?.[1] ?? "missing",
    wrk: /^wrk (?:debian\/)?(\S+)/.exec(await outputOf("wrk", "-v"))?.[1] ?? "missing",
    commit: changed ? `${commit} with changes` : commit,
    pinning:
      cores === undefined
        ? "none"
        : `server on core ${cores.server.join()}, client on core ${cores.client.join()}`,
    load: os.loadavg()[0] ?? 0,
  };
}

export function machineLines(
  machine: Machine,
  relay: RelayProgram,
  baseline: RelayProgram | undefined,
): string {
  const { date, cpu, cores, kernel, bun, nginx, wrk, commit, pinning, load } = machine;
  return [
    `machine   ${cpu}, ${cores} cores, ${kernel}, load ${load.toFixed(2)} at the start, ${date}`,
    `versions  Bun ${bun}, nginx ${nginx}, wrk ${wrk}`,
    `relay     ${relay.shown}, commit ${commit}`,
    ...(baseline === undefined ? [] : [`baseline  ${baseline.shown}`]),
    `pinning   ${pinning}`,
  ].join("\n");
}

/** Returns stdout and stderr: nginx and wrk print their versions to stderr, and wrk exits with 1. */
async function outputOf(name: string, ...args: string[]): Promise<string> {
  const command = findCommand(name);
  if (command === undefined) return "";
  const child = Bun.spawn([command, ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return (out + err).trim();
}
