import type { Clock } from "../../platform/clock.ts";
import type { EmitServingEvent, ServingEvent } from "../../server/thread-events.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { ThrottledLogs } from "../logging/throttled-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";
import type { Incident } from "../status/incident.ts";

/** Each may be a different bug; a flood says no more than its first lines. */
const LINES_PER_MIN = 10;

/** The serving threads of one kind: `http` for plaintext HTTP/1.1, `http2` for gRPC and HTTPS. */
interface ThreadCounts {
  readonly running: number;
  /** Were lost, and are not replaced yet. */
  readonly missing: number;
}

/** Logs, metrics and status of serving threads. */
export class ServingTelemetry {
  readonly emit: EmitServingEvent;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #clock: Clock;
  /** Says for each name why the thread does not run. Undefined means that it runs. */
  readonly #threads = new Map<string, Incident | undefined>();
  readonly #lines: ThrottledLogs;

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#registry = registry;
    this.#clock = clock;
    this.#lines = new ThrottledLogs(logger, clock, LINES_PER_MIN);
    for (const reason of ["died", "hung"]) registry.series("ServingThreadLost", { reason });
    registry.gauge("ServingThreads", () => this.#readCounts());
  }

  /** Threads that should run: all that ever started. */
  get wanted(): number {
    return this.#threads.size;
  }

  get running(): number {
    return this.wanted - this.missing().length;
  }

  /** Why threads do not run, the longest missing first. */
  missing(): readonly Incident[] {
    return [...this.#threads.values()]
      .filter((incident) => incident !== undefined)
      .sort((a, b) => a.since - b.since);
  }

  /** Returns the counts by kind of thread. */
  counts(): ReadonlyMap<string, ThreadCounts> {
    const counts = new Map<string, ThreadCounts>();
    for (const [name, incident] of this.#threads) {
      const kind = name.replace(/-\d+$/, "");
      const { running, missing } = counts.get(kind) ?? { running: 0, missing: 0 };
      const isRunning = incident === undefined;
      counts.set(kind, { running: running + Number(isRunning), missing: missing + Number(!isRunning) });
    }
    return counts;
  }

  #record(event: ServingEvent): void {
    const { kind, name } = event;
    switch (kind) {
      case "thread_started":
        this.#threads.set(name, undefined);
        if (event.isReplacement) this.#lines.of(kind).log("info", "serving thread replaced", { name });
        else debugLine(this.#logger, event);
        return;
      case "thread_lost": {
        const { reason, detail } = event;
        this.#registry.count("ServingThreadLost", { reason });
        this.#miss(name, `${name} ${reason}: ${detail}`);
        this.#lines.of(kind).log("error", "serving thread lost, replacing it", { name, reason, detail });
        return;
      }
      case "thread_failed_to_start": {
        const { detail, retryInMs } = event;
        this.#miss(name, `${name} did not start: ${detail}`);
        const fields = { name, detail, retry_in_ms: retryInMs };
        this.#lines.of(kind).log("warn", "serving thread not started, retrying", fields);
      }
    }
  }

  #miss(name: string, reason: string): void {
    const since = this.#threads.get(name)?.since ?? this.#clock.now();
    this.#threads.set(name, { since, reason });
  }

  *#readCounts(): Iterable<readonly [{ readonly protocol: string; readonly state: string }, number]> {
    for (const [protocol, { running, missing }] of this.counts()) {
      yield [{ protocol, state: "running" }, running];
      yield [{ protocol, state: "missing" }, missing];
    }
  }
}
