import type { Clock } from "../../platform/clock.ts";
import { type DescribedError, describeError } from "../../platform/errors.ts";
import type { LoopName, SupervisionEvent, TaskName } from "../../platform/supervisor.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";
import type { Incident } from "../status/incident.ts";

const OUTAGE = {
  begins: "unexpected error in background loop, retrying",
  lasts: "unexpected errors in background loop continue",
  ends: "background loop recovered",
  failing: "failing_loops",
};

/** Each may be a different bug; a flood says no more than its first lines. */
const TASKS_PER_MIN = 10;

/** Logs, metrics and status of unexpected errors: bugs in the relay. */
export class SupervisionTelemetry {
  /** Loops with at least one failing instance. */
  readonly failingLoops = new Map<LoopName, Incident>();
  /** The last unexpected error outside of a loop. */
  taskFailed: Incident | undefined;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #clock: Clock;
  readonly #loops = new Map<LoopName, OutageLog>();
  readonly #tasks: ThrottledLogs;

  constructor({ logger, registry, clock }: Pick<TelemetryOutput, "logger" | "registry" | "clock">) {
    this.#logger = logger;
    this.#registry = registry;
    this.#clock = clock;
    this.#tasks = new ThrottledLogs(logger, clock, TASKS_PER_MIN);
  }

  /** Implements `contain` of {@link TelemetryOutput}. */
  readonly contain =
    <Event>(record: (event: Event) => void) =>
    (event: Event): void => {
      try {
        record(event);
      } catch (error) {
        this.emit({ kind: "task_failed", task: "telemetry", ...describeError(error) });
      }
    };

  /** Never throws. If an event cannot be logged, that is counted, but not logged: the log is what failed. */
  readonly emit = (event: SupervisionEvent): void => {
    try {
      this.#record(event);
    } catch (error) {
      this.#recordTask("telemetry", describeError(error));
    }
  };

  #record(event: SupervisionEvent): void {
    switch (event.kind) {
      case "loop_failed": {
        const { loop, instance, detail, at, retryInMs } = event;
        this.#registry.count("UnexpectedError", { component: loop });
        const since = this.failingLoops.get(loop)?.since ?? this.#clock.now();
        this.failingLoops.set(loop, { since, reason: formatError(event) });
        this.#outagesOf(loop).failed(String(instance), { fields: { loop, detail, at, retryInMs } });
        return;
      }
      case "loop_recovered": {
        const { loop, instance, failing } = event;
        if (failing === 0) this.failingLoops.delete(loop);
        if (!this.#outagesOf(loop).ended(String(instance), { loop })) debugLine(this.#logger, event);
        return;
      }
      case "task_failed": {
        const { task, detail, at } = event;
        this.#recordTask(task, event);
        this.#tasks.of(task).log("error", "unexpected error, relay continues", { task, detail, at });
      }
    }
  }

  #recordTask(task: TaskName, error: DescribedError): void {
    this.#registry.count("UnexpectedError", { component: task });
    this.taskFailed = { since: this.#clock.now(), reason: `${task}: ${formatError(error)}` };
  }

  /** Each loop has its own outage log, so that none hides another. */
  #outagesOf(loop: LoopName): OutageLog {
    const log = this.#loops.get(loop) ?? new OutageLog(this.#logger, this.#clock, OUTAGE);
    this.#loops.set(loop, log);
    return log;
  }
}

function formatError({ detail, at }: DescribedError): string {
  return at === undefined ? detail : `${detail}, at ${at}`;
}
