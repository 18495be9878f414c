import type { Config } from "../config/config.ts";
import { DroppedQueue } from "../log-events/dropped-queue.ts";
import type { EmitLogEventsEvent } from "../log-events/events.ts";
import { EventForwarder } from "../log-events/forwarder.ts";
import { EventIntake } from "../log-events/intake.ts";
import { MemoryQueue } from "../log-events/memory-queue.ts";
import type { EventQueue, EventsLeft, QueueDepth } from "../log-events/queue.ts";
import { WorkerPacker, WorkerReader } from "../log-events/workers.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import { SpooledQueue } from "../spool/queue.ts";
import { EventSpool } from "../spool/spool.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Tracing } from "../telemetry/tracing/tracing.ts";
import { UpstreamEndpoint } from "../upstream/endpoint.ts";
import { StatsigEvents } from "../upstream/log-events.ts";
import { VERSION } from "../version.ts";
import type { RunningAccess } from "./access.ts";

export interface RunningEvents extends AsyncDisposable {
  readonly intake: EventIntake;
  /** What waits for upstream, including events in flight. */
  readonly depth: QueueDepth;
  /** From 0 (empty) to 1 (full). */
  readonly filled: number;
  /** Whether every event in the queue survives the end of the process. */
  readonly isDurable: boolean;
  /** Called before the relay stops: events no longer wait for others of their group. */
  drain(): void;
  /** Sends what it can until `flushDeadline` is aborted, then reports the rest as lost or kept. */
  flush(flushDeadline: AbortSignal): Promise<void>;
}

interface EventsParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "logEvents" | "spool">;
  readonly access: Pick<RunningAccess, "gate" | "admission">;
  readonly tracing: Tracing;
}

/** The spool is limited by its size on disk. This limits what it keeps in memory about its batches. */
const SPOOL_MAX_BATCHES = 1_000_000;

/** Older events are given up. */
const SPOOL_MAX_AGE_MS = 72 * 3_600_000;

const MEMORY_QUEUE_BYTES = 256 * 1024 * 1024;

/** Starts the flow of log events to upstream: intake, deduplication, queue, forwarder. */
export async function startEvents(config: Config, parts: EventsParts): Promise<RunningEvents> {
  await using starting = new AsyncDisposableStack();
  const { clock, supervisor, access, tracing } = parts;
  const { gate, admission } = access;
  const emit: EmitLogEventsEvent = (event) => {
    if (event.kind === "log_events_sent") admission.accepted(event.sdkKey);
    parts.telemetry.logEvents.emit(event);
  };
  const { events: settings } = config;
  const { queue, isDurable, settle } = openQueue(config, parts);
  starting.use(queue);
  const reader = starting.use(new WorkerReader(supervisor));
  const { maxBodyBytes, maxEvents, flushIntervalMs } = settings;
  const dedupeLimit = settings.dedupeLimit || undefined;
  const intake = new EventIntake({ reader, queue, gate, dedupeLimit, maxBodyBytes, maxEvents, clock, emit });
  const endpoint = new UpstreamEndpoint({
    baseUrl: settings.upstreamUrl,
    proxied: settings.upstreamProxied,
    relayVersion: VERSION,
    carries: tracing.headers,
  });
  const packer = starting.use(new WorkerPacker(supervisor));
  const sink = tracing.eventSink(new StatsigEvents(endpoint, packer, clock));
  const forwarder = starting.use(
    new EventForwarder({ queue, settle, sink, clock, supervisor, emit, flushIntervalMs }),
  );
  forwarder.start();
  const running = starting.move();
  return {
    intake,
    get depth() {
      return queue.depth;
    },
    get filled() {
      return queue.filled;
    },
    get isDurable() {
      return isDurable();
    },
    drain: () => forwarder.drain(),
    flush: (flushDeadline) => forwarder.flush(flushDeadline),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

interface OpenedQueue {
  readonly queue: EventQueue;
  readonly isDurable: () => boolean;
  readonly settle: () => Promise<EventsLeft>;
}

/** Opens the spool if one is configured, else a queue in memory. If events are dropped, what the spool has stays there. */
function openQueue({ events }: Config, { clock, supervisor, telemetry }: EventsParts): OpenedQueue {
  if (events.areDropped) {
    const settle = async () => ({ kept: 0, lost: 0 });
    return { queue: new DroppedQueue(telemetry.logEvents.emit), isDurable: () => false, settle };
  }
  const { maxBatches, spool: settings } = events;
  const memory = new MemoryQueue({ maxBatches, maxBytes: MEMORY_QUEUE_BYTES });
  if (settings === undefined) {
    const settle = async () => ({ kept: 0, lost: memory.depth.events });
    return { queue: memory, isDurable: () => false, settle };
  }
  const spool = new EventSpool({
    ...settings,
    maxBatches: SPOOL_MAX_BATCHES,
    maxAgeMs: SPOOL_MAX_AGE_MS,
    clock,
    supervisor,
    onProblem: telemetry.spool.emit,
  });
  const queue = new SpooledQueue({ spool, memory, clock, supervisor, onProblem: telemetry.spool.emit });
  return { queue, isDurable: () => queue.isDurable, settle: () => queue.settle() };
}
