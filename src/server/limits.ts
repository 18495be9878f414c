import { readFileSync } from "node:fs";

/** Counts requests that are being worked on, of all ports together, and bounds them. */
export class InFlight {
  #max: number;
  readonly #emit: EmitLimitEvent;
  #count = 0;

  constructor(max: number, emit: EmitLimitEvent) {
    this.#max = max;
    this.#emit = emit;
  }

  get count(): number {
    return this.#count;
  }

  /** From now on so many. Those beyond go on. */
  limitTo(max: number): void {
    this.#max = max;
  }

  /** Undefined where there are as many as there may be. To be disposed of when the request is answered. */
  enter(): Disposable | undefined {
    if (this.#count >= this.#max) {
      this.#emit({ kind: "limit_reached", limit: "max-in-flight" });
      return undefined;
    }
    this.#count++;
    return {
      [Symbol.dispose]: () => {
        this.#count--;
      },
    };
  }
}

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

type ConnectionsAllowed =
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

/** Limits by the option that sets each. */
export type LimitName =
  | "max-connections"
  | "max-in-flight"
  /** Over HTTP/2 it is told once Bun has refused a hundred requests of a connection. */
  | "max-header-size-in-kb"
  | "max-header-count"
  | "max-url-length"
  | "max-request-body-in-mb"
  | "header-timeout-in-s"
  | "body-timeout-in-s"
  /** Told when as many streams are open as may be: those beyond Bun refuses by itself. */
  | "http2-max-concurrent-streams"
  | "http2-max-resets-per-min"
  /** There is no option for these. */
  | "http2-settings-per-min"
  | "arriving-requests"
  | "arriving-bodies";

/** Something was refused, or cut off, at a limit. */
export type LimitEvent =
  | LimitReached
  /** An HTTP/2 client answered no PING and showed no other sign of life: its connection is closed. */
  | { readonly kind: "client_vanished" }
  /** The system lets the process have too few descriptors for as many connections as may be: each port has fewer. */
  | { readonly kind: "connections_lowered"; readonly connections: number; readonly descriptors: number };

interface LimitReached {
  readonly kind: "limit_reached";
  readonly limit: LimitName;
}

export type EmitLimitEvent = (event: LimitEvent) => void;
