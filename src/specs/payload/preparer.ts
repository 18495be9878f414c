import type { Supervisor } from "../../platform/supervisor.ts";
import { WorkerCalls } from "../../platform/worker-calls.ts";
import type { RawPayload } from "./payload.ts";
import type { Preparation, PreparationRequest } from "./prepare.ts";

/** Checks and encodes payloads without blocking requests. */
export interface SpecPreparer extends AsyncDisposable {
  /** Transfers `raw.body`: the caller must not use it again. Rejects if the Worker failed. */
  prepare(raw: RawPayload): Promise<Preparation>;
}

/** Many times as long as the largest payload takes. */
const SILENCE_LIMIT_MS = 5 * 60_000;

/** Prepares payloads in a Worker, which is started with the first payload. */
export class WorkerPreparer implements SpecPreparer {
  readonly #calls: WorkerCalls<PreparationRequest, Preparation>;
  readonly #maxBytes: number;

  /** `maxBytes` limits the size of a payload, as sent and decoded. */
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
