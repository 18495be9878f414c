import { readdir } from "node:fs/promises";
import type { Clock } from "../clock.ts";
import { descriptorLimit, RESERVED_DESCRIPTORS } from "../limits/descriptors.ts";
import type { EmitLimitEvent } from "../limits/events.ts";
import type { Supervisor } from "../supervision/supervisor.ts";
import { connectionsTo } from "./port-connections.ts";

/** What is opened and closed by the gate. */
export interface Gated {
  readonly port: number;
  /** Takes no more connections, and gives up those on which nothing is asked just now. */
  pause(): void;
  /** False where that can't be done just now. */
  resume(): boolean;
}

export interface ConnectionGateOptions {
  readonly maxConnections: number;
  readonly gated: Gated;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitLimitEvent;
}

const LOOK_EVERY_MS = 200;

/** The gate opens again where so many of the allowed connections are left. */
const REOPEN_AT = 0.9;

/**
 * Bounds the connections of a listener that does not tell of them (Bun.serve). Without a bound the process's descriptors
 * would be used up, and then nothing could be opened any more, not even to upstream.
 */
export class ConnectionGate implements AsyncDisposable {
  readonly #options: ConnectionGateOptions;
  readonly #stopping = new AbortController();
  readonly #maxDescriptors = descriptorLimit() - RESERVED_DESCRIPTORS;
  readonly #running: Promise<void>;
  #isOpen = true;

  constructor(options: ConnectionGateOptions) {
    this.#options = options;
    this.#running = options.supervisor.loop("connection_gate", this.#stopping.signal, () => this.#look());
  }

  /** Open now, as far as the system tells. */
  async connections(): Promise<number> {
    return (await connectionsTo(this.#options.gated.port)) ?? (await openDescriptors());
  }

  async #look(): Promise<void> {
    const { clock, gated, emit } = this.#options;
    await clock.sleep(LOOK_EVERY_MS, this.#stopping.signal);
    if (this.#isOpen && (await this.#isFuller(1))) {
      emit({ kind: "limit_reached", limit: "max-connections" });
      gated.pause();
      this.#isOpen = false;
    } else if (!this.#isOpen && !(await this.#isFuller(REOPEN_AT))) {
      this.#isOpen = gated.resume();
    }
  }

  /** Whether there is more than this part of what may be. Descriptors are counted first, at a tenth of the cost. */
  async #isFuller(part: number): Promise<boolean> {
    const descriptors = await openDescriptors();
    if (descriptors > this.#maxDescriptors * part) return true;
    const max = this.#options.maxConnections * part;
    return descriptors > max && (await this.connections()) > max;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }
}

/** Where the system shows them: not every container has the second, which is a link to the first on Linux. */
const DESCRIPTOR_FOLDERS = ["/proc/self/fd", "/dev/fd"];

async function openDescriptors(): Promise<number> {
  for (const folder of DESCRIPTOR_FOLDERS) {
    try {
      return (await readdir(folder)).length;
    } catch (error) {
      // But for a folder that is not there: there is no descriptor left to look with.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") return Number.POSITIVE_INFINITY;
    }
  }
  return 0;
}
