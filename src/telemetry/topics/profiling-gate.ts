import type { EmitProfilingGateEvent, ProfilingGateEvent } from "../../profiling/gate/events.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { TelemetryOutput } from "../output.ts";

/** Bounds the lines of a gate that is changed all the time. */
const TURNS_PER_MIN = 10;

/** One gate can fail. */
const SUBJECT = "gate";

/** Logs of the gate that turns Google Cloud Profiler on and off. */
export class ProfilingGateTelemetry {
  readonly emit: EmitProfilingGateEvent;
  readonly #logger: Logger;
  readonly #turns: ThrottledLogs;
  readonly #throttled: ThrottledLogs;
  readonly #failing: OutageLog;

  constructor({ logger, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#turns = new ThrottledLogs(logger, clock, TURNS_PER_MIN);
    this.#throttled = new ThrottledLogs(logger, clock);
    this.#failing = new OutageLog(logger, clock, {
      begins: "profiling gate cannot be evaluated, profiling stays as it is",
      lasts: "profiling gate still cannot be evaluated, profiling stays as it is",
      ends: "profiling gate evaluated again",
      causeField: "detail",
    });
  }

  #record(event: ProfilingGateEvent): void {
    switch (event.kind) {
      case "profiling_gate_turned": {
        const { kind, isOn, lcut, rule } = event;
        const message = isOn ? "gate turned profiling on" : "gate turned profiling off";
        this.#turns.of(kind).log("info", message, { lcut, rule: rule ?? "none" });
        return;
      }
      case "profiling_gate_evaluated": {
        if (!this.#failing.ended(SUBJECT, { lcut: event.lcut })) debugLine(this.#logger, event);
        return;
      }
      case "profiling_gate_failed": {
        const { lcut, detail, retryInMs } = event;
        this.#failing.failed(SUBJECT, { cause: detail, fields: { lcut, detail, retry_in_ms: retryInMs } });
        return;
      }
      case "profiling_gate_uses_id_list": {
        const { kind, lcut, list } = event;
        const message = "profiling gate uses an ID list, in which no relay is";
        this.#throttled.of(kind).log("warn", message, { lcut, list });
      }
    }
  }
}
