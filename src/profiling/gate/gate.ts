import type { SdkKey } from "../../access/sdk-key.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import { feedId } from "../../specs/feed.ts";
import type { Snapshot } from "../../specs/snapshot.ts";
import type { SpecStore } from "../../specs/store.ts";
import type { GateVerdict } from "./evaluate.ts";
import { GateEvaluator } from "./evaluator.ts";
import type { EmitProfilingGateEvent } from "./events.ts";
import { toGateFeed } from "./payload.ts";

interface ProfilingGateOptions {
  /** The project that has the gate. Its feed of {@link toGateFeed} must be polled. */
  readonly sdkKey: SdkKey;
  /** As in GateRequest. */
  readonly customIds: Readonly<Record<string, string>>;
  readonly store: Pick<SpecStore, "listen" | "peek">;
  readonly supervisor: Supervisor;
  /** Turns profiling on or off. Called for changes only; profiling is off at first. */
  readonly turn: (on: boolean) => void;
  readonly emit: EmitProfilingGateEvent;
}

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
  readonly #evaluator = new GateEvaluator();
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
    const { sdkKey, customIds, emit, turn } = this.#options;
    let verdict: GateVerdict;
    try {
      verdict = await this.#evaluator.evaluate({ sdkKey, customIds, bytes });
    } catch (error) {
      if (!this.#isDisposed) emit({ kind: "profiling_gate_failed", lcut, detail: (error as Error).message });
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await this.#evaluator[Symbol.asyncDispose]();
  }
}
