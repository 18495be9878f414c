import { startWorker } from "#runtime/threads.ts";
import { CallTimedOut, WorkerCalls, WorkThrew } from "../../platform/worker-calls.ts";
import type { GateRequest, GateVerdict } from "./evaluate.ts";
import { namesGate } from "./payload.ts";

/** The gate cannot be evaluated, or takes too long, however often it is tried. The message is for operators. */
export class GateUnreadable extends Error {}

/** Many times as long as the largest payload takes. */
const EVALUATION_LIMIT_MS = 30_000;

const NO_SUCH_GATE: GateVerdict = { isOn: false, rule: undefined, idList: undefined };

/**
 * Evaluates the gate in a Worker that ends afterwards: with the SDK it takes 17 MB, and 30 MB in all for 5 MB of config specs, while
 * starting it takes 30 to 40 ms, which is rarely needed. For config specs without the gate, none is started.
 */
export class GateEvaluator implements AsyncDisposable {
  readonly #limitMs: number;
  #calls: WorkerCalls<GateRequest, GateVerdict> | undefined;

  /** `limitMs`: how long an evaluation may take. */
  constructor(limitMs = EVALUATION_LIMIT_MS) {
    this.#limitMs = limitMs;
  }

  /**
   * Rejects with {@link GateUnreadable}, or with another error for operators if the Worker failed: that may pass. Call it again only when it
   * has settled.
   */
  async evaluate(request: GateRequest): Promise<GateVerdict> {
    if (!namesGate(request.bytes)) return NO_SUCH_GATE;
    await using calls = new WorkerCalls<GateRequest, GateVerdict>({
      name: "the gate worker",
      start: () => startWorker(new URL("./gate-worker.ts", import.meta.url)),
      // The call is rejected with the reason.
      onLost: () => {},
      limitMs: this.#limitMs,
    });
    this.#calls = calls;
    try {
      return await calls.call(request);
    } catch (error) {
      const isFinal = error instanceof WorkThrew || error instanceof CallTimedOut;
      throw isFinal ? new GateUnreadable(error.message.replace(/^Error: /, "")) : error;
    }
  }

  /** Ends an evaluation, which is then rejected. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls?.[Symbol.asyncDispose]();
  }
}
