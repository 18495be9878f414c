import type { Supervisor } from "../supervision/supervisor.ts";
import { WorkerCalls } from "../worker-calls.ts";
import type { BodyReading, RawBatch } from "./read-body.ts";

/** Reads bodies without holding up other requests. */
export interface BatchReader {
  /** Takes over `raw.body`: the caller must not use it again. Rejects when the work could not be done at all. */
  read(raw: RawBatch): Promise<BodyReading>;
}

/** Of a body of 5 MiB that is made to be slow, a few times over. */
const LIMIT_MS = 30_000;

/** Does the work in one Worker, one body at a time, started with the first. */
export class WorkerReader implements BatchReader, AsyncDisposable {
  readonly #calls: WorkerCalls<RawBatch, BodyReading>;

  constructor(supervisor: Supervisor) {
    this.#calls = new WorkerCalls({
      name: "the event worker",
      start: () => new Worker(new URL("./read-worker.ts", import.meta.url)),
      onLost: (error) => supervisor.caught("event_worker", error),
      limitMs: LIMIT_MS,
    });
  }

  read(raw: RawBatch): Promise<BodyReading> {
    return this.#calls.call(raw, [raw.body.buffer]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls[Symbol.asyncDispose]();
  }
}
