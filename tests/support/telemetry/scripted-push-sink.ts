import { SinkChannel } from "../../../src/telemetry/push/channel.ts";
import type { Measurement, PushSink } from "../../../src/telemetry/push/measurement.ts";
import type { SinkEvent } from "../../../src/telemetry/topics/sinks.ts";
import { FakeClock, settle } from "../common/fake-clock.ts";
import { strictSupervisor } from "../common/supervisors.ts";

/** A sink that accepts or rejects measurements when the test says so. */
export class ScriptedPushSink implements PushSink {
  readonly name = "statsd";
  /** A sink that ignores the abort signal keeps sending after its time limit. */
  obeysAbort = true;
  /** Number of measurements that were accepted. */
  accepted = 0;
  isDisposed = false;
  #sending:
    | { readonly count: number; readonly signal: AbortSignal; readonly outcome: PromiseWithResolvers<void> }
    | undefined;

  /** Number of measurements that were sent and neither accepted nor rejected yet. */
  get pending(): number {
    return this.#sending?.count ?? 0;
  }

  send(measurements: readonly Measurement[], signal: AbortSignal): Promise<void> {
    if (this.#sending !== undefined) throw new Error("send was called before the last call settled");
    const sending = { count: measurements.length, signal, outcome: Promise.withResolvers<void>() };
    this.#sending = sending;
    signal.addEventListener("abort", () => {
      if (this.obeysAbort) this.#end(sending.outcome, () => sending.outcome.reject(signal.reason));
    });
    return sending.outcome.promise;
  }

  /** Accepts the pending measurements, or rejects them if the signal is aborted already. */
  async accept(): Promise<void> {
    const sending = this.#sending;
    if (sending === undefined || sending.signal.aborted) return this.fail();
    this.#end(sending.outcome, () => {
      this.accepted += sending.count;
      sending.outcome.resolve();
    });
    await settle();
  }

  async fail(): Promise<void> {
    const outcome = this.#sending?.outcome;
    if (outcome !== undefined) this.#end(outcome, () => outcome.reject(new Error("the agent is not there")));
    await settle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isDisposed = true;
  }

  #end(outcome: PromiseWithResolvers<void>, end: () => void): void {
    if (this.#sending?.outcome !== outcome) return;
    this.#sending = undefined;
    end();
  }
}

export function scriptedChannel(size: number) {
  const clock = new FakeClock();
  const sink = new ScriptedPushSink();
  const events: SinkEvent[] = [];
  const dropped = { count: 0 };
  const channel = new SinkChannel({
    supervisor: strictSupervisor(clock),
    sink,
    size,
    clock,
    emit: (event) => events.push(event),
    onDropped: (_, count) => {
      dropped.count += count;
    },
  });
  return { clock, sink, events, dropped, channel };
}
