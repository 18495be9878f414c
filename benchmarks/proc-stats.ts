import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** /proc has CPU time in hundredths of a second on every architecture that Bun supports. */
const TICK_MS = 10;

/** User and system time of the process and of its main thread, since its start. */
export interface CpuTime {
  readonly processMs: number;
  readonly mainThreadMs: number;
}

export function cpuTime(pid: number): CpuTime {
  return { processMs: cpuMs(`/proc/${pid}/stat`), mainThreadMs: cpuMs(`/proc/${pid}/task/${pid}/stat`) };
}

export function cpuSince(pid: number, before: CpuTime): CpuTime {
  const now = cpuTime(pid);
  return {
    processMs: now.processMs - before.processMs,
    mainThreadMs: now.mainThreadMs - before.mainThreadMs,
  };
}

/** Returns the CPU time of a process and its children. nginx's worker is a child of its master. */
export function familyCpuMs(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .trim()
    .split(" ")
    .filter(Boolean);
  return [String(pid), ...children].reduce((sum, each) => sum + cpuMs(`/proc/${each}/stat`), 0);
}

function cpuMs(path: string): number {
  const stat = readFileSync(path, "utf8");
  // The second field is the command in parentheses and may contain spaces. utime and stime are the 14th and 15th.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** Returns the CPU time of each thread of the process by its id, in ms, to the nanosecond. */
export function threadCpuMs(pid: number): Map<string, number> {
  const times = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const [onCpuNs] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
    times.set(thread, Number(onCpuNs) / 1_000_000);
  }
  return times;
}

export function residentBytes(pid: number): number {
  return statusBytes(pid, "VmRSS");
}

export function peakResidentBytes(pid: number): number {
  return statusBytes(pid, "VmHWM");
}

/** Returns the number of open files and sockets. */
export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Resets the peak to the current resident memory. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

function statusBytes(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) * 1_024;
}
