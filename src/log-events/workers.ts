import { startWorker } from "#runtime/threads.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { WorkerCalls } from "../platform/worker-calls.ts";
import type { ForwardedContents } from "./chunk.ts";
import type { EventCall, EventReply } from "./event-worker.ts";
import type { BodyReading, RawBatch } from "./parse.ts";

/** Reads request bodies off the main thread, so that other requests are not delayed. */
export interface BatchReader {
  /** Takes ownership of `raw.body`: the caller must not use it again. Rejects if the Worker cannot do the work. */
  read(raw: RawBatch): Promise<BodyReading>;

  /**
   * Records the exposures of a batch that was queued, so that bodies passed to `read` later are compared with them. Takes
   * ownership of `digests`. Resolves with true if every digest of the window has been evicted since the last time it did.
   */
  remember(digests: Uint32Array<ArrayBuffer>): Promise<boolean>;
}

/** Makes request bodies for upstream off the main thread. */
export interface BatchPacker {
  /** Returns a body in gzip. Rejects if the Worker cannot do the work. */
  pack(contents: ForwardedContents): Promise<Uint8Array<ArrayBuffer>>;
}

/** Several times what the slowest crafted body of 5 MiB takes. */
const CALL_LIMIT_MS = 30_000;

const UNEXPECTED_REPLY = "the event worker sent a reply of the wrong kind";

/** Reads bodies in a Worker of its own, one at a time; the first call starts it. If the Worker dies, its window of exposures is lost. */
export class WorkerReader implements BatchReader, AsyncDisposable {
  readonly #calls: WorkerCalls<EventCall, EventReply>;

  constructor(supervisor: Supervisor) {
    this.#calls = createCalls("the worker that reads events", supervisor);
  }

  async read(raw: RawBatch): Promise<BodyReading> {
    const reply = await this.#calls.call({ kind: "read", raw }, [raw.body.buffer]);
    if (reply.kind === "remembered" || reply.kind === "packed") throw new Error(UNEXPECTED_REPLY);
    return reply;
  }

  async remember(digests: Uint32Array<ArrayBuffer>): Promise<boolean> {
    const reply = await this.#calls.call({ kind: "remember", digests }, [digests.buffer]);
    return reply.kind === "remembered" && reply.hasTurned;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls[Symbol.asyncDispose]();
  }
}

/** Packs bodies in a second Worker: in the one that reads, hostile bodies would delay forwarding. */
export class WorkerPacker implements BatchPacker, AsyncDisposable {
  readonly #calls: WorkerCalls<EventCall, EventReply>;

  constructor(supervisor: Supervisor) {
    this.#calls = createCalls("the worker that packs events", supervisor);
  }

  async pack(contents: ForwardedContents): Promise<Uint8Array<ArrayBuffer>> {
    const reply = await this.#calls.call({ kind: "pack", contents });
    if (reply.kind !== "packed") throw new Error(UNEXPECTED_REPLY);
    return reply.body;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls[Symbol.asyncDispose]();
  }
}

function createCalls(name: string, supervisor: Supervisor): WorkerCalls<EventCall, EventReply> {
  return new WorkerCalls({
    name,
    start: () => startWorker(new URL("./event-worker.ts", import.meta.url)),
    onLost: (error) => supervisor.caught("event_worker", error),
    limitMs: CALL_LIMIT_MS,
  });
}
