import type { Supervisor } from "../platform/supervisor.ts";
import { WorkerCalls } from "../platform/worker-calls.ts";
import type { EventCall, EventReply, PackedContents } from "./calls.ts";
import type { BodyReading, RawBatch } from "./parse.ts";

/** Reads bodies without holding up other requests. */
export interface BatchReader {
  /** Takes over `raw.body`: the caller must not use it again. Rejects when the work could not be done at all. */
  read(raw: RawBatch): Promise<BodyReading>;

  /**
   * Exposures of a batch that is kept: whoever sends them again repeats them. Takes over `digests`. Bodies that are given
   * to `read` after this know of them. Resolves with whether the whole window has been replaced once more.
   */
  remember(digests: Uint32Array<ArrayBuffer>): Promise<boolean>;
}

/** Makes bodies of requests to upstream without holding up other requests. */
export interface BatchPacker {
  /** A gzip-coded body. Rejects when the work could not be done at all. */
  pack(contents: PackedContents): Promise<Uint8Array<ArrayBuffer>>;
}

/** Of a body of 5 MiB that is made to be slow, a few times over. */
const LIMIT_MS = 30_000;

function startCalls(name: string, supervisor: Supervisor): WorkerCalls<EventCall, EventReply> {
  return new WorkerCalls({
    name,
    start: () => new Worker(new URL("./event-worker.ts", import.meta.url)),
    onLost: (error) => supervisor.caught("event_worker", error),
    limitMs: LIMIT_MS,
  });
}

const OTHER_ANSWER = "the event worker answered another question";

/** Does the work in one Worker, one body at a time, started with the first. What it remembers dies with it. */
export class WorkerReader implements BatchReader, AsyncDisposable {
  readonly #calls: WorkerCalls<EventCall, EventReply>;

  constructor(supervisor: Supervisor) {
    this.#calls = startCalls("the worker that reads events", supervisor);
  }

  async read(raw: RawBatch): Promise<BodyReading> {
    const reply = await this.#calls.call({ kind: "read", raw }, [raw.body.buffer]);
    if (reply.kind === "remembered" || reply.kind === "packed") throw new Error(OTHER_ANSWER);
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

/** The same for what goes to upstream: not in the Worker that reads, where hostile bodies would hold it up. */
export class WorkerPacker implements BatchPacker, AsyncDisposable {
  readonly #calls: WorkerCalls<EventCall, EventReply>;

  constructor(supervisor: Supervisor) {
    this.#calls = startCalls("the worker that packs events", supervisor);
  }

  async pack(contents: PackedContents): Promise<Uint8Array<ArrayBuffer>> {
    const reply = await this.#calls.call({ kind: "pack", contents });
    if (reply.kind !== "packed") throw new Error(OTHER_ANSWER);
    return reply.body;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls[Symbol.asyncDispose]();
  }
}
