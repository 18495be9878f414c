import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import type { EmitLimitEvent } from "../limits/events.ts";

/** What is opened and closed by the gate. */
export interface Gated {
  /** Takes no more connections, and gives up those on which nothing is asked just now. */
  pause(): void;
  /** False where that can't be done just now. */
  resume(): boolean;
}

export interface ConnectionGateOptions {
  readonly maxConnections: number;
  /** Connections that the process has beside those of the gated listener. */
  readonly otherConnections: () => number;
  readonly gated: Gated;
  readonly clock: Clock;
  readonly emit: EmitLimitEvent;
}

const LOOK_EVERY_MS = 200;

/** The gate opens again where so many of the allowed connections are left. */
const REOPEN_AT = 0.9;

/** For Redis, upstream, files and Workers. */
const RESERVED_DESCRIPTORS = 256;

/**
 * Bounds the connections of a listener that does not tell of them (Bun.serve), by the descriptors that the process
 * has open. Without a bound they would be used up, and then nothing could be opened any more, not even to upstream.
 */
export class ConnectionGate implements AsyncDisposable {
  readonly #options: ConnectionGateOptions;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #connections = 0;

  constructor(options: ConnectionGateOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** At the last look. */
  get connections(): number {
    return this.#connections;
  }

  async #run(): Promise<void> {
    const { clock, otherConnections, gated, emit } = this.#options;
    const { signal } = this.#stopping;
    const own = (await openDescriptors()) - otherConnections();
    const max = Math.min(this.#options.maxConnections, descriptorLimit() - own - RESERVED_DESCRIPTORS);
    let isOpen = true;
    while (!signal.aborted) {
      await clock.sleep(LOOK_EVERY_MS, signal).catch(() => {});
      if (signal.aborted) return;
      const connections = (await openDescriptors()) - own - otherConnections();
      this.#connections = Math.max(0, connections);
      if (isOpen && connections > max) {
        emit({ kind: "limit_reached", limit: "max-connections" });
        gated.pause();
        isOpen = false;
      } else if (!isOpen && connections <= max * REOPEN_AT) {
        isOpen = gated.resume();
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }
}

async function openDescriptors(): Promise<number> {
  try {
    return (await readdir("/dev/fd")).length;
  } catch {
    // There is none left to look with.
    return Number.POSITIVE_INFINITY;
  }
}

/** How many descriptors the system lets the process have; no bound where it does not tell. */
function descriptorLimit(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
