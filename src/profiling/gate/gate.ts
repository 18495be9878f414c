import type { SdkKey } from "../../access/sdk-key.ts";
import { WakeSignal } from "../../platform/abort.ts";
import { backoffMs } from "../../platform/backoff.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import { feedId } from "../../specs/feed.ts";
import type { Snapshot } from "../../specs/snapshot.ts";
import type { SpecStore } from "../../specs/store.ts";
import type { GateVerdict } from "./evaluate.ts";
import { GateEvaluator, GateUnreadable } from "./evaluator.ts";
import type { EmitProfilingGateEvent } from "./events.ts";
import { toGateFeed } from "./payload.ts";

interface ProfilingGateOptions {
  /** The project that has the gate. Its feed of {@link toGateFeed} must be polled. */
  readonly sdkKey: SdkKey;
  /** As in GateRequest. */
  readonly customIds: Readonly<Record<string, string>>;
  readonly store: Pick<SpecStore, "listen" | "peek">;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  /** Turns profiling on or off. Called for changes only; profiling is off at first. */
  readonly turn: (on: boolean) => void;
  readonly emit: EmitProfilingGateEvent;
  /** How long an evaluation may take; by default as long as {@link GateEvaluator} says. */
  readonly evaluationLimitMs?: number;
}

/** Between two tries in a row. */
const FIRST_RETRY_MS = 10_000;
const MAX_RETRY_MS = 30 * 60_000;

/**
 * Turns profiling on and off by a feature gate, which is evaluated once for each version of its project that the store publishes,
 * wherever that came from. What cannot be evaluated changes nothing, nor does it if the project is no longer held. If it was not the
 * version that failed, but the thread that evaluates it, it is tried again until the next version comes.
 */
export class ProfilingGate implements AsyncDisposable {
  readonly #options: ProfilingGateOptions;
  #isOn = false;
  /** The newest version, if it was not evaluated yet. */
  #next: Snapshot | undefined;
  #isBusy = false;
  readonly #evaluator: GateEvaluator;
  readonly #published = new WakeSignal();
  readonly #disposing = new AbortController();

  constructor(options: ProfilingGateOptions) {
    this.#options = options;
    this.#evaluator = new GateEvaluator(options.evaluationLimitMs);
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
    this.#published.notify();
    if (this.#isBusy || this.#isDisposed) return;
    this.#isBusy = true;
    void this.#options.supervisor.task("profiling_gate", () => this.#evaluateAll());
  }

  get #isDisposed(): boolean {
    return this.#disposing.signal.aborted;
  }

  /** Versions that were replaced before their turn are left out. */
  async #evaluateAll(): Promise<void> {
    try {
      for (let next = this.#takeNext(); next !== undefined; next = this.#takeNext()) await this.#decide(next);
    } finally {
      this.#isBusy = false;
    }
  }

  #takeNext(): Snapshot | undefined {
    const next = this.#isDisposed ? undefined : this.#next;
    this.#next = undefined;
    return next;
  }

  /** Resolves when the version has decided, cannot, or is no longer the newest. */
  async #decide(version: Snapshot): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#disposing;
    for (let attempt = 0; ; attempt++) {
      const retryInMs = backoffMs({ attempt, firstMs: FIRST_RETRY_MS, maxMs: MAX_RETRY_MS });
      const outcome = await this.#apply(version, retryInMs);
      if (outcome !== "may_pass" || this.#next !== undefined || this.#isDisposed) return;
      const isReplaced = await this.#published.wait(retryInMs, clock, signal).catch(() => true);
      if (isReplaced) return;
    }
  }

  async #apply({ bytes, lcut }: Snapshot, retryInMs: number): Promise<"settled" | "may_pass"> {
    const { sdkKey, customIds, emit } = this.#options;
    let verdict: GateVerdict;
    try {
      verdict = await this.#evaluator.evaluate({ sdkKey, customIds, bytes });
    } catch (error) {
      if (this.#isDisposed) return "settled";
      const isFinal = error instanceof GateUnreadable;
      const { message: detail } = error as Error;
      emit({ kind: "profiling_gate_failed", lcut, detail, retryInMs: isFinal ? undefined : retryInMs });
      return isFinal ? "settled" : "may_pass";
    }
    if (!this.#isDisposed) this.#turn(lcut, verdict);
    return "settled";
  }

  #turn(lcut: number, { isOn, rule, idList }: GateVerdict): void {
    const { emit, turn } = this.#options;
    emit({ kind: "profiling_gate_evaluated", lcut });
    if (idList !== undefined) emit({ kind: "profiling_gate_uses_id_list", lcut, list: idList });
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    emit({ kind: "profiling_gate_turned", isOn, lcut, rule });
    turn(isOn);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposing.abort();
    await this.#evaluator[Symbol.asyncDispose]();
  }
}
