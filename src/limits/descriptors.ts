import { readFileSync } from "node:fs";

/** Of the process, that must never be used up by clients: for Redis, upstream, files and Workers. */
export const RESERVED_DESCRIPTORS = 256;

/** How many files and sockets the system lets the process have open; no bound where it does not tell. */
export function descriptorLimit(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
