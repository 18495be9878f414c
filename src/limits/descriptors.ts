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

/** Of each port: with fewer, one server's SDKs and the probes would use them up. */
const MIN_CONNECTIONS = 64;

export type ConnectionsAllowed =
  | { readonly kind: "as_wanted" }
  /** Fewer than wanted. */
  | { readonly kind: "lowered"; readonly connections: number }
  /** Fewer than a relay can work with; `needed` is how many descriptors would be enough. */
  | { readonly kind: "too_few"; readonly needed: number };

/** How many connections each of so many ports may have with the descriptors that there are. */
export function connectionsAllowed(wanted: number, ports: number, descriptors: number): ConnectionsAllowed {
  const connections = Math.floor((descriptors - RESERVED_DESCRIPTORS) / ports);
  if (connections >= wanted) return { kind: "as_wanted" };
  const least = Math.min(wanted, MIN_CONNECTIONS);
  if (connections < least) return { kind: "too_few", needed: RESERVED_DESCRIPTORS + ports * least };
  return { kind: "lowered", connections };
}
