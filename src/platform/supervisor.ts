import { setTimeout as timeout } from "node:timers/promises";
import type { Clock } from "./clock.ts";
import { type DescribedError, describeError } from "./errors.ts";

interface SupervisorOptions {
  readonly clock: Clock;
  readonly emit: EmitSupervisionEvent;
}

export type Round = (worked: () => void) => Promise<void>;

/** The delay after the first failure; each further failure in a row doubles it. */
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;

/**
 * Runs background work. An unexpected error is reported, and a loop is continued after a delay. Expected errors are handled by
 * the work itself.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  /** The number of loops of each name that are failing now. */
  readonly #failing = new Map<LoopName, number>();
  #instances = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /**
   * Runs rounds one after the other until `signal` is aborted; each round must wait for something. A round that throws is
   * reported, and the next one starts after 1 s, 2 s and so on up to 60 s while they throw in a row. The loop counts as
   * recovered when a round ends or calls `worked`, which is for rounds that wait long after their work. An error after the
   * abort is ignored. Never rejects.
   */
  async loop(name: LoopName, signal: AbortSignal, round: Round): Promise<void> {
    const instance = ++this.#instances;
    let failures = 0;
    const worked = () => {
      if (failures > 0) this.#recovered(name, instance);
      failures = 0;
    };
    while (!signal.aborted) {
      try {
        await round(worked);
        worked();
      } catch (error) {
        if (signal.aborted) break;
        if (failures === 0) this.#failing.set(name, (this.#failing.get(name) ?? 0) + 1);
        const retryInMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** failures++);
        const failing = this.#failing.get(name) ?? 0;
        this.#emit({
          kind: "loop_failed",
          loop: name,
          instance,
          failing,
          retryInMs,
          ...describeError(error),
        });
        await this.#pause(retryInMs, signal);
      }
    }
    worked();
  }

  /** Runs `work` once and reports an error. Never rejects. */
  async task(name: TaskName, work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.caught(name, error);
    }
  }

  /** Reports an error that was caught elsewhere. */
  caught(task: TaskName, error: unknown): void {
    this.reported(task, describeError(error));
  }

  /** Reports an error that another thread caught and described. */
  reported(task: TaskName, error: DescribedError): void {
    this.#emit({ kind: "task_failed", task, ...error });
  }

  #recovered(loop: LoopName, instance: number): void {
    const failing = Math.max(0, (this.#failing.get(loop) ?? 0) - 1);
    this.#failing.set(loop, failing);
    this.#emit({ kind: "loop_recovered", loop, instance, failing });
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.clock.sleep(ms, signal);
    } catch {
      // If the clock itself throws, the loop must still pause.
      if (!signal.aborted) await timeout(ms, undefined, { signal }).catch(() => {});
    }
  }

  /** An error while reporting must not stop the supervised work. */
  #emit(event: Parameters<EmitSupervisionEvent>[0]): void {
    try {
      this.#options.emit(event);
    } catch {
      // Nothing is left to report to.
    }
  }
}

/** Background loops. The names appear in logs, metrics and on the status page. */
export type LoopName =
  | "backup_upkeep"
  | "bootstrap_files"
  | "certificate_expiry"
  | "cloud_profiler"
  | "event_forwarding"
  | "event_spool_opening"
  | "file_watch"
  | "id_list_polls"
  | "local_backup_opening"
  | "metric_push"
  | "pin_reads"
  | "redis_presence"
  | "redis_write_probe"
  | "redis_subscription"
  | "redis_token"
  | "request_rates"
  | "service_manager"
  | "spec_polls";

/** Work that runs once in the background, and places where errors are caught that nothing else would report. */
export type TaskName =
  | "backup_writes"
  | "bootstrap_update"
  | "bootstrap_worker"
  | "cloud_profiler"
  | "config_reload"
  | "deltas"
  | "event_delivery"
  | "event_spool_worker"
  | "event_worker"
  | "fleet_notices"
  | "http_request"
  | "id_list_files"
  | "local_backup_worker"
  | "metric_sink"
  | "payload_worker"
  | "pins"
  | "profiling_gate"
  | "pushes"
  | "rpc"
  | "telemetry"
  | "uncaught_exception"
  | "unhandled_rejection";

/** Unexpected errors, all of them bugs, which the relay survives. */
export type SupervisionEvent =
  /** A round threw; the loop continues. `instance` identifies the loop among those of its name, and `failing` counts those that fail now. */
  | ({
      readonly kind: "loop_failed";
      readonly loop: LoopName;
      readonly instance: number;
      readonly failing: number;
      readonly retryInMs: number;
    } & DescribedError)
  /** The loop works again, or has ended. */
  | {
      readonly kind: "loop_recovered";
      readonly loop: LoopName;
      readonly instance: number;
      readonly failing: number;
    }
  /** The task was not completed. */
  | ({ readonly kind: "task_failed"; readonly task: TaskName } & DescribedError);

type EmitSupervisionEvent = (event: SupervisionEvent) => void;

type FaultKind = "uncaught_exception" | "unhandled_rejection";

export type ReportFault = (kind: FaultKind, error: unknown) => void;

/** Uncaught errors of the process. Without a listener Bun prints the stack and may end the process. */
export interface ProcessFaults {
  /** Replaces the receiver of later reports. */
  reportTo(report: ReportFault): void;
}

export function listenForFaults(first: ReportFault): ProcessFaults {
  let report = first;
  const listener = (kind: FaultKind) => (error: unknown) => {
    try {
      report(kind, error);
    } catch {
      // An error thrown here would be uncaught again, endlessly.
    }
  };
  process.on("uncaughtException", listener("uncaught_exception"));
  process.on("unhandledRejection", listener("unhandled_rejection"));
  return {
    reportTo: (next) => {
      report = next;
    },
  };
}
