import type { Clock } from "../../platform/clock.ts";
import type { LoopName, SupervisionEvent } from "../../platform/supervisor.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";

const MESSAGES = {
  begins: "unexpected error in a background loop, trying again",
  lasts: "unexpected errors in a background loop go on",
  ends: "the background loop works again",
  failing: "failing_loops",
};

/** Each may be another one; a flood of them tells no more than that it is one. */
const TASKS_PER_MIN = 10;

/** Log lines of errors that are bugs. */
export class SupervisionLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #loops = new Map<LoopName, OutageLog>();
  readonly #tasks: ThrottledLogs;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
    this.#tasks = new ThrottledLogs(logger, clock, TASKS_PER_MIN);
  }

  write(event: SupervisionEvent): void {
    switch (event.kind) {
      case "loop_failed": {
        const { loop, instance, detail, at, retryInMs } = event;
        this.#outagesOf(loop).failed(String(instance), { fields: { loop, detail, at, retryInMs } });
        return;
      }
      case "loop_recovered": {
        const { loop, instance } = event;
        if (!this.#outagesOf(loop).ended(String(instance), { loop })) debugLine(this.#logger, event);
        return;
      }
      case "task_failed": {
        const { task, detail, at } = event;
        this.#tasks.of(task).log("error", "unexpected error, the relay goes on", { task, detail, at });
      }
    }
  }

  /** Each has its own, so that none hides another. */
  #outagesOf(loop: LoopName): OutageLog {
    const log = this.#loops.get(loop) ?? new OutageLog(this.#logger, this.#clock, MESSAGES);
    this.#loops.set(loop, log);
    return log;
  }
}

/** Errors that are bugs, as measurements. */
export function measureSupervision(event: SupervisionEvent, registry: MetricRegistry): void {
  switch (event.kind) {
    case "loop_failed":
      registry.count("UnexpectedError", { component: event.loop });
      return;
    case "task_failed":
      registry.count("UnexpectedError", { component: event.task });
      return;
    case "loop_recovered":
  }
}
