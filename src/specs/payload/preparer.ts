import { startWorker } from "#runtime/threads.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import { WorkerCalls } from "../../platform/worker-calls.ts";
import type { KnownVersions } from "../deltas/compute.ts";
import type { DiffRequest, KeptBody, VersionDiff } from "../versions/diff.ts";
import type { RawPayload } from "./payload.ts";
import type { Preparation, PreparationRequest } from "./prepare.ts";

/** Checks and encodes payloads without blocking requests. */
export interface SpecPreparer extends AsyncDisposable {
  /**
   * Transfers `raw.body`: the caller must not use it again. `known` is what is known of earlier versions; without it, the version
   * gets no deltas. Rejects if the Worker failed.
   */
  prepare(raw: RawPayload, known?: KnownVersions): Promise<Preparation>;
}

/** Compares versions without blocking requests. */
export interface VersionComparer {
  /** Returns what differs, by name. Rejects if the Worker failed, or a version is not as it was. */
  compare(from: KeptBody, to: KeptBody): Promise<VersionDiff>;
}

/** Many times as long as the largest payload takes. */
const SILENCE_LIMIT_MS = 5 * 60_000;

/** Prepares payloads in a Worker, which is started with the first payload. */
export class WorkerPreparer implements SpecPreparer, VersionComparer {
  readonly #calls: WorkerCalls<PreparationRequest | DiffRequest, Preparation | VersionDiff>;
  readonly #maxBytes: number;
  readonly #supervisor: Supervisor;

  /** `maxBytes` limits the size of a payload, as sent and decoded. */
  constructor(supervisor: Supervisor, maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#supervisor = supervisor;
    this.#calls = new WorkerCalls({
      name: "the payload worker",
      start: () => startWorker(new URL("./prepare-worker.ts", import.meta.url)),
      silenceLimitMs: SILENCE_LIMIT_MS,
      onLost: (error) => supervisor.caught("payload_worker", error),
    });
  }

  async prepare(raw: RawPayload, known?: KnownVersions): Promise<Preparation> {
    const request = { raw, maxBytes: this.#maxBytes, known };
    const preparation = (await this.#calls.call(request, [raw.body.buffer])) as Preparation;
    if (preparation.kind === "prepared" && preparation.deltaFault !== undefined)
      this.#supervisor.reported("deltas", preparation.deltaFault);
    return preparation;
  }

  async compare(from: KeptBody, to: KeptBody): Promise<VersionDiff> {
    return (await this.#calls.call({ from, to, maxBytes: this.#maxBytes })) as VersionDiff;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls[Symbol.asyncDispose]();
  }
}
