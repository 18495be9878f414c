import type { SdkKey } from "../../access/sdk-key.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import { WorkerCalls } from "../../platform/worker-calls.ts";
import { feedId } from "../../specs/feed.ts";
import type { Snapshot } from "../../specs/snapshot.ts";
import type { SpecStore } from "../../specs/store.ts";
import type { GateRequest, GateVerdict } from "./evaluate.ts";
import type { EmitProfilingGateEvent } from "./events.ts";
import { namesGate, toGateFeed } from "./payload.ts";

/** Many times as long as the largest payload takes. */
const EVALUATION_LIMIT_MS = 30_000;

interface ProfilingGateOptions {
  /** The project that has the gate. Its feed of {@link toGateFeed} must be polled. */
  readonly sdkKey: SdkKey;
  /** As in {@link GateRequest}. */
  readonly customIds: Readonly<Record<string, string>>;
  readonly store: Pick<SpecStore, "listen" | "peek">;
  readonly supervisor: Supervisor;
  /** Turns profiling on or off. Called for changes only; profiling is off at first. */
  readonly turn: (on: boolean) => void;
  readonly emit: EmitProfilingGateEvent;
}

const NO_SUCH_GATE: GateVerdict = { isOn: false, rule: undefined, idList: undefined };

/**
 * Turns profiling on and off by a feature gate, which is evaluated once for each version of its project that the store publishes,
 * wherever that came from. What cannot be evaluated changes nothing, nor does it if the project is no longer held.
 */
export class ProfilingGate implements AsyncDisposable {
  readonly #options: ProfilingGateOptions;
  #isOn = false;
  /** The newest version, if it was not evaluated yet. */
  #next: Snapshot | undefined;
  #isBusy = false;
  #calls: WorkerCalls<GateRequest, GateVerdict> | undefined;
  #isDisposed = false;

  constructor(options: ProfilingGateOptions) {
    this.#options = options;
    const { store, sdkKey } = options;
    const feed = toGateFeed(sdkKey);
    const id = feedId(feed);
    store.listen({
      published: (held) => {
        if (feedId(held.feed) === id) this.#follow(held.snapshot);
      },
    });
    const held = store.peek(feed);
    if (held !== undefined) this.#follow(held.snapshot);
  }

  #follow(snapshot: Snapshot): void {
    this.#next = snapshot;
    if (this.#isBusy || this.#isDisposed) return;
    this.#isBusy = true;
    void this.#options.supervisor.task("profiling_gate", () => this.#evaluateAll());
  }

  /** Versions that were replaced before their turn are left out. */
  async #evaluateAll(): Promise<void> {
    try {
      for (let next = this.#takeNext(); next !== undefined; next = this.#takeNext()) await this.#apply(next);
    } finally {
      this.#isBusy = false;
    }
  }

  #takeNext(): Snapshot | undefined {
    const next = this.#isDisposed ? undefined : this.#next;
    this.#next = undefined;
    return next;
  }

  async #apply({ bytes, lcut }: Snapshot): Promise<void> {
    const { emit, turn } = this.#options;
    let verdict: GateVerdict;
    try {
      verdict = namesGate(bytes) ? await this.#evaluate(bytes) : NO_SUCH_GATE;
    } catch (error) {
      const detail = (error as Error).message.replace(/^Error: /, "");
      if (!this.#isDisposed) emit({ kind: "profiling_gate_failed", lcut, detail });
      return;
    }
    if (this.#isDisposed) return;
    const { isOn, rule, idList } = verdict;
    emit({ kind: "profiling_gate_evaluated", lcut });
    if (idList !== undefined) emit({ kind: "profiling_gate_uses_id_list", lcut, list: idList });
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    emit({ kind: "profiling_gate_turned", isOn, lcut, rule });
    turn(isOn);
  }

  /**
   * Evaluates in a Worker that ends afterwards: with the SDK it takes 17 MB, and 20 to 50 MB more for 5 MB of config specs, while
   * starting it takes 30 to 40 ms, which is rarely needed.
   */
  async #evaluate(bytes: GateRequest["bytes"]): Promise<GateVerdict> {
    const { sdkKey, customIds } = this.#options;
    await using calls = new WorkerCalls<GateRequest, GateVerdict>({
      name: "the gate worker",
      start: () => new Worker(new URL("./gate-worker.ts", import.meta.url)),
      // The call is rejected with the reason.
      onLost: () => {},
      limitMs: EVALUATION_LIMIT_MS,
    });
    this.#calls = calls;
    return await calls.call({ sdkKey, customIds, bytes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await this.#calls?.[Symbol.asyncDispose]();
  }
}
