import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { availableCores } from "../../src/platform/cores.ts";

const CPU_MAX = "sys/fs/cgroup/cpu.max";

/** Returns the cores of a process that can be scheduled on 8 CPUs and sees these files. */
function coresWith(files: Readonly<Record<string, string>>, schedulable = 8): number {
  const root = mkdtempSync(join(tmpdir(), "sfp-cores-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), `${text}\n`);
    }
    return availableCores({ root, schedulable });
  } finally {
    rmSync(root, { recursive: true });
  }
}

const v1 = (folder: string, quota: string, period = "100000") => ({
  [`sys/fs/cgroup/${folder}/cpu.cfs_quota_us`]: quota,
  [`sys/fs/cgroup/${folder}/cpu.cfs_period_us`]: period,
});

describe("the cores that a process can use", () => {
  const inContainer = { "proc/self/cgroup": "0::/" };
  test.each([
    ["no limit", "max 100000", 8],
    ["two cores", "200000 100000", 2],
    ["another period", "30000 10000", 3],
    ["half a core", "50000 100000", 1],
    ["a hundredth of a core", "1000 100000", 1],
    ["one and a half cores", "150000 100000", 2],
    ["more than the machine has", "6400000 100000", 8],
    ["an empty file", "", 8],
    ["garbage", "many 100000", 8],
    ["a period of zero", "100000 0", 8],
    ["a quota of zero", "0 100000", 8],
    ["a quota without a period", "100000", 8],
  ])("cgroup v2 with %s", (_, text, cores) => {
    expect(coresWith({ ...inContainer, [CPU_MAX]: text })).toBe(cores);
  });

  const ofService = { "proc/self/cgroup": "0::/system.slice/relay.service" };
  const slice = "sys/fs/cgroup/system.slice";
  test.each([
    ["its own", { [`${slice}/relay.service/cpu.max`]: "300000 100000" }, 3],
    ["one above", { [`${slice}/cpu.max`]: "200000 100000" }, 2],
    [
      "the lowest of all",
      {
        [`${slice}/relay.service/cpu.max`]: "400000 100000",
        [`${slice}/cpu.max`]: "100000 100000",
        [CPU_MAX]: "max 100000",
      },
      1,
    ],
    ["not that of a neighbor", { [`${slice}/other.service/cpu.max`]: "100000 100000" }, 8],
  ] as const)("cgroup v2, nested: %s", (_, files, cores) => {
    expect(coresWith({ ...ofService, ...files })).toBe(cores);
  });

  test.each([
    ["no limit", "4:cpu:/", v1("cpu", "-1"), 8],
    ["a limit", "4:cpu:/", v1("cpu", "250000"), 3],
    ["joint controllers", "4:cpu,cpuacct:/", v1("cpu,cpuacct", "100000"), 1],
    ["joint controllers, mounted apart", "4:cpuacct,cpu:/", v1("cpu", "200000"), 2],
    ["a parent's limit", "4:cpu:/pods/relay", v1("cpu/pods", "200000"), 2],
    ["the host's path in a container", "4:cpu:/docker/0a1b", v1("cpu", "50000"), 1],
    ["another controller alone", "4:cpuset:/\n5:cpuacct:/", v1("cpuset", "100000"), 8],
    ["an unused version 2 beside it", "0::/\n4:cpu:/", v1("cpu", "200000"), 2],
  ] as const)("cgroup v1 with %s", (_, line, files, cores) => {
    expect(coresWith({ "proc/self/cgroup": line, ...files })).toBe(cores);
  });

  test("a path that leaves the mounted hierarchy, as seen from a cgroup namespace", () => {
    const files = { "proc/self/cgroup": "0::/../../relay", "relay/cpu.max": "100000 100000" };
    expect(coresWith(files)).toBe(8);
    expect(coresWith({ ...files, [CPU_MAX]: "200000 100000" })).toBe(2);
  });

  test("no cgroups: a chroot without /sys, or another system", () => {
    expect(coresWith({})).toBe(8);
    expect(coresWith({ "proc/self/cgroup": "0::/system.slice" })).toBe(8);
    expect(coresWith({ "proc/self/cgroup": "garbage\n\n:::" })).toBe(8);
    expect(coresWith({}, 0)).toBe(1);
  });
});

const isLinux = process.platform === "linux";

test.skipIf(!isLinux)("without a quota, the cores are the CPUs of the process's affinity", () => {
  const [, list = ""] = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  const allowed = list.split(",").map((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return last - first + 1;
  });
  expect(availableCores({ root: "/nowhere" })).toBe(allowed.reduce((sum, count) => sum + count));
});

test.skipIf(!isLinux || Bun.which("taskset") === null)("a process on one CPU has one core", () => {
  const script = `import { availableCores } from "${join(import.meta.dir, "../../src/platform/cores.ts")}";
    console.log(availableCores());`;
  const [first = "0"] =
    /(?<=^Cpus_allowed_list:\s*)\d+/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  const { stdout, exitCode } = Bun.spawnSync(["taskset", "-c", first, process.execPath, "-e", script]);
  expect([exitCode, stdout.toString()]).toEqual([0, "1\n"]);
});
