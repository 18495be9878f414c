import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

interface CoreSources {
  /** The folder that has `proc` and `sys`. */
  readonly root?: string;
  /** The number of CPUs that the scheduler may run this process on. */
  readonly schedulable?: number;
}

/**
 * Returns the number of CPUs that this process can keep busy, at least 1: those of its affinity (taskset, cpuset), or its CPU quota
 * rounded up if that is less. A quota is a limit of a container, `CPUQuota=` of systemd, or that of any cgroup above. Without
 * readable cgroups there is no quota.
 */
export function availableCores({
  root = "/",
  schedulable = availableParallelism(),
}: CoreSources = {}): number {
  return Math.max(1, Math.min(schedulable, Math.ceil(readQuota(root))));
}

/** Returns the lowest quota of the process's cgroups, in CPUs. Infinity means none. */
function readQuota(root: string): number {
  const lines = (readText(join(root, "proc/self/cgroup")) ?? "").split("\n");
  return Math.min(Number.POSITIVE_INFINITY, ...lines.flatMap((line) => readQuotasOf(line, root)));
}

/** Takes a line of /proc/self/cgroup: `ID:CONTROLLERS:PATH`, with ID 0 and no controllers for version 2. */
function readQuotasOf(line: string, root: string): readonly number[] {
  const [, id, controllers = "", path = ""] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
  const mounts = join(root, "sys/fs/cgroup");
  if (id === "0") return listGroups(path).map((group) => readQuotaV2(join(mounts, group)));
  if (!controllers.split(",").includes("cpu")) return [];
  // Systems mount the controllers under their joint name, such as `cpu,cpuacct`, or each under its own.
  return [controllers, "cpu"].flatMap((mount) =>
    listGroups(path).map((group) => readQuotaV1(join(mounts, mount, group))),
  );
}

/**
 * Returns the path of a cgroup and of all above it. In a container the path may be that of the host, while only the container's own
 * part is mounted: then it is found at the root, and the other paths do not exist.
 */
function listGroups(path: string): readonly string[] {
  const names = path.split("/").filter((name) => name !== "" && name !== "." && name !== "..");
  return Array.from({ length: names.length + 1 }, (_, depth) => names.slice(0, depth).join("/"));
}

/** `cpu.max` holds the quota and the period in µs: `50000 100000`, or `max 100000`. */
function readQuotaV2(folder: string): number {
  const [quota, period] = (readText(join(folder, "cpu.max")) ?? "").trim().split(" ");
  return toCores(quota, period);
}

/** The quota is -1 if there is none. */
function readQuotaV1(folder: string): number {
  return toCores(readText(join(folder, "cpu.cfs_quota_us")), readText(join(folder, "cpu.cfs_period_us")));
}

/** What is not two positive numbers is no quota. */
function toCores(quota: string | undefined, period: string | undefined): number {
  const cores = Number(quota) / Number(period);
  return cores > 0 ? cores : Number.POSITIVE_INFINITY;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
