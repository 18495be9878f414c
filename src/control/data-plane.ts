import type { AllowList } from "../access/allow-list.ts";
import type { EmitRpcEvent } from "../grpc/events.ts";
import type { EmitHttpEvent } from "../http/observer.ts";
import type { DescribedError } from "../platform/errors.ts";
import type { TaskName } from "../platform/supervisor.ts";
import { answerCall } from "../platform/thread-channel.ts";
import type { EmitLimitEvent } from "../server/limits.ts";
import type { EmitServingEvent } from "../server/thread-events.ts";
import type { EmitTlsEvent } from "../server/tls-events.ts";
import { releaseCounts } from "../serving/counts.ts";
import type { ControlCalls, ServingSetup, SharedMemory, ToServing } from "../serving/messages.ts";
import type { SpecStore } from "../specs/store.ts";
import { CountCollection, type CountReceivers } from "./count-collection.ts";
import { OpenStreams } from "./open-streams.ts";
import type { ServingReport, ServingThread, ThreadEnd } from "./serving-thread.ts";
import { ServingThreads } from "./serving-threads.ts";
import { SpecPublisher } from "./spec-publisher.ts";

/** What happens in the threads, for logs and metrics. */
interface EventReceivers {
  readonly http: { readonly emit: EmitHttpEvent };
  readonly rpc: { readonly emit: EmitRpcEvent };
  readonly limits: { readonly emit: EmitLimitEvent };
  readonly tls: { readonly emit: EmitTlsEvent };
}

interface DataPlaneOptions {
  /** One for each thread. Called for its first start and for each replacement. */
  readonly setups: readonly (() => ServingSetup)[];
  readonly startThread: () => ThreadEnd;
  readonly shared: SharedMemory;
  readonly store: SpecStore;
  readonly allowList: AllowList;
  readonly calls: ControlCalls;
  readonly telemetry: CountReceivers & EventReceivers;
  readonly emit: EmitServingEvent;
  readonly onFault: (task: TaskName, error: DescribedError) => void;
}

/** The serving threads, with what they need of the control plane: versions, decisions, and a place for their events. */
export class DataPlane implements Disposable {
  readonly threads: ServingThreads;
  readonly #options: DataPlaneOptions;
  readonly #publisher: SpecPublisher;
  readonly #counts: CountCollection;
  readonly #streams: OpenStreams;

  constructor(options: DataPlaneOptions) {
    const { store, allowList, telemetry, shared } = options;
    this.#options = options;
    this.threads = new ServingThreads({
      setups: options.setups,
      start: options.startThread,
      prepare: (thread) => this.#publisher.copyTo(thread),
      onReport: (report, thread) => this.#receive(report, thread),
      onLost: (thread) => this.#forget(thread),
      beats: new Int32Array(shared.beats),
      emit: options.emit,
    });
    const broadcast = (message: ToServing) => this.threads.broadcast(message);
    this.#publisher = new SpecPublisher({ store, allowList, broadcast });
    this.#streams = new OpenStreams(telemetry.rpc.emit);
    this.#counts = new CountCollection({ ...telemetry, threads: () => this.threads.running() });
  }

  /** Brings what the threads counted into the metrics. Resolves soon, whatever they do. */
  collectCounts(): Promise<void> {
    return this.#counts.collect();
  }

  /** Resolves when all threads serve what was published before, and after `ms` milliseconds at the latest. */
  reach(ms: number): Promise<void> {
    return this.#counts.reach(ms);
  }

  #receive(report: ServingReport, thread: ServingThread): void {
    const { calls, telemetry, onFault } = this.#options;
    switch (report.kind) {
      case "call":
        void answerCall(calls, report).then((outcome) => thread.send(outcome));
        return;
      case "used":
      case "followed":
        this.#publisher.record(report, thread);
        return;
      case "counted":
        this.#counts.add(report, thread);
        return;
      case "limit":
        telemetry.limits.emit(report.event);
        return;
      case "tls":
        telemetry.tls.emit(report.event);
        return;
      case "http":
        telemetry.http.emit(report.event);
        return;
      case "rpc":
        this.#streams.record(thread, report.event);
        return;
      case "fault":
        onFault(report.task, report.error);
    }
  }

  #forget(thread: ServingThread): void {
    this.#publisher.forget(thread);
    this.#streams.closeAll(thread);
    this.#counts.forget(thread);
    releaseCounts(this.#options.shared.counts, thread.slot);
  }

  [Symbol.dispose](): void {
    this.threads[Symbol.dispose]();
  }
}
