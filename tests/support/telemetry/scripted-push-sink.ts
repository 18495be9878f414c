import { SinkChannel } from "../../../src/telemetry/push/channel.ts";
import type { Measurement, PushSink } from "../../../src/telemetry/push/measurement.ts";
import type { SinkEvent } from "../../../src/telemetry/topics/push.ts";
import { FakeClock, settle } from "../common/fake-clock.ts";
import { strictSupervisor } from "../common/supervisors.ts";

/** Takes what it is sent when the test says so. */
export class ScriptedPushSink implements PushSink {
  readonly name = "statsd";
  /** A sink that hears nothing goes on when its time is over. */
  hears = true;
  taken = 0;
  isDisposed = false;
  #sending:
    | { readonly count: number; readonly signal: AbortSignal; readonly outcome: PromiseWithResolvers<void> }
    | undefined;

  /** Measurements that it has been sent and did not answer for. */
  get pending(): number {
    return this.#sending?.count ?? 0;
  }

  send(measurements: readonly Measurement[], signal: AbortSignal): Promise<void> {
    if (this.#sending !== undefined) throw new Error("it was called while it sends");
    const sending = { count: measurements.length, signal, outcome: Promise.withResolvers<void>() };
    this.#sending = sending;
    signal.addEventListener("abort", () => {
      if (this.hears) this.#end(sending.outcome, () => sending.outcome.reject(signal.reason));
    });
    return sending.outcome.promise;
  }

  /** What it takes when its time is over is lost as well. */
  async take(): Promise<void> {
    const sending = this.#sending;
    if (sending === undefined || sending.signal.aborted) return this.fail();
    this.#end(sending.outcome, () => {
      this.taken += sending.count;
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
