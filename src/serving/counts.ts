import { SharedBudget } from "../platform/shared-budget.ts";
import { allocateCount, releaseSlot, SharedCount } from "../platform/shared-count.ts";

const COUNT_NAMES = [
  "requests_in_flight",
  "streams",
  "health_watches",
  "body_bytes",
  "arriving_bodies",
  "http_connections",
  "https_connections",
  "https_arriving_requests",
  "grpc_connections",
  "grpc_arriving_requests",
  "grpcs_connections",
  "grpcs_arriving_requests",
] as const;

/** What all threads together are limited in. */
type CountName = (typeof COUNT_NAMES)[number];

/** The memory of the counts. Passed to each thread. */
export type CountMemory = Readonly<Record<CountName, SharedArrayBuffer>>;

/** Allocates the counts of `slots` threads, the control plane among them. */
export function allocateCounts(slots: number): CountMemory {
  const allocated = COUNT_NAMES.map((name) => [name, allocateCount(slots)] as const);
  return Object.fromEntries(allocated) as CountMemory;
}

/** Takes back what a thread counted. To be called once it has ended. */
export function releaseCounts(memory: CountMemory, slot: number): void {
  for (const count of Object.values(memory)) releaseSlot(count, slot);
}

/** The number of threads that serve each port; 0 for a port that is not open. */
export interface ThreadsOfPorts {
  readonly http: number;
  readonly https: number;
  readonly grpc: number;
  readonly grpcs: number;
}

/** What is shared by budget, and the ports whose requests use it. */
const BUDGET_PORTS = {
  body_bytes: ["http", "https"],
  arriving_bodies: ["http", "https"],
  https_arriving_requests: ["https"],
  grpc_arriving_requests: ["grpc"],
  grpcs_arriving_requests: ["grpcs"],
} as const satisfies Partial<Record<CountName, readonly (keyof ThreadsOfPorts)[]>>;

/** The counts as one thread changes them. */
export class ServingCounts {
  readonly #memory: CountMemory;
  readonly #slot: number;
  readonly #threads: ThreadsOfPorts;

  constructor(memory: CountMemory, slot: number, threads: ThreadsOfPorts) {
    this.#memory = memory;
    this.#slot = slot;
    this.#threads = threads;
  }

  of(name: CountName): SharedCount {
    return new SharedCount(this.#memory[name], this.#slot);
  }

  /** A budget that the threads of its ports share: a part for a thread that never uses it would be lost to the others. */
  budget(name: keyof typeof BUDGET_PORTS, max: number): SharedBudget {
    // The HTTP port shares no thread with any other, so that none is counted twice.
    const threads = BUDGET_PORTS[name].reduce((sum, protocol) => sum + this.#threads[protocol], 0);
    return new SharedBudget({ max, threads, common: this.of(name) });
  }
}
