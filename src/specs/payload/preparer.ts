import type { Supervisor } from "../../platform/supervisor.ts";
import { WorkerCalls } from "../../platform/worker-calls.ts";
import type { RawPayload } from "./payload.ts";
import type { Preparation, PreparationRequest } from "./prepare.ts";

/** Checks and codes payloads without holding up requests. */
export interface SpecPreparer extends AsyncDisposable {
  /** Takes over `raw.body`: the caller must not use it again. Rejects when the work could not be done at all. */
  prepare(raw: RawPayload): Promise<Preparation>;
}

/** Many times what the largest payload takes. */
const SILENCE_LIMIT_MS = 5 * 60_000;

/** Does the work in one Worker, started with the first payload. */
export class WorkerPreparer implements SpecPreparer {
  readonly #calls: WorkerCalls<PreparationRequest, Preparation>;
  readonly #maxBytes: number;

  /** A payload that is longer than `maxBytes`, as sent or decoded, is refused. */
  constructor(supervisor: Supervisor, maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#calls = new WorkerCalls({
      name: "the payload worker",
      start: () => new Worker(new URL("./prepare-worker.ts", import.meta.url)),
      silenceLimitMs: SILENCE_LIMIT_MS,
      onLost: (error) => supervisor.caught("payload_worker", error),
    });
  }

  prepare(raw: RawPayload): Promise<Preparation> {
    return this.#calls.call({ raw, maxBytes: this.#maxBytes }, [raw.body.buffer]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls[Symbol.asyncDispose]();
  }
}
