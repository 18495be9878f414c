import type { Clock } from "../../clock.ts";
import type { LimitEvent } from "../../limits/events.ts";
import type { SpoolEvent } from "../../local/event-spool-events.ts";
import type { LogEventsEvent } from "../../log-events/events.ts";
import type { AccessEvent } from "../../specs/access-events.ts";
import type { DescribedError, LoopName, SupervisionEvent } from "../../supervision/events.ts";
import type { TlsEvent } from "../../tls/events.ts";
import type { SinkEvent, SinkName } from "../sinks/events.ts";
import type { Condition } from "./backup-memory.ts";
import type { HappenedError } from "./feed-report.ts";
import { isoOf } from "./moment.ts";

/** Remembers how SDKs' events, certificates, the list of allowed keys and the places of monitoring do. */
export class FlowMemory {
  readonly #clock: Clock;
  readonly failingSinks = new Map<SinkName, Condition>();
  /** Loops of which at least one fails unexpectedly. */
  readonly failingLoops = new Map<LoopName, Condition>();
  /** The last unexpected error of what is no loop. */
  taskFailed: Condition | undefined;
  eventsDelayed: Condition | undefined;
  spoolFailing: Condition | undefined;
  eventsSentAt: number | undefined;
  eventsError: HappenedError | null = null;
  certificate: { readonly serial: string; readonly expiresAt: number } | undefined;
  certificateRefused: HappenedError | null = null;
  allowedKeysRefused: Condition | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  writeGuard(event: AccessEvent | LimitEvent | TlsEvent): void {
    switch (event.kind) {
      case "certificate_loaded":
        this.certificate = { serial: event.serial, expiresAt: event.expiresAt };
        this.certificateRefused = null;
        return;
      case "certificate_refused":
        this.certificateRefused = this.#error(event.reason);
        return;
      case "allowed_keys_refused":
        this.allowedKeysRefused = this.#from(event.detail);
        return;
      case "allowed_keys_reloaded":
        this.allowedKeysRefused = undefined;
        return;
      // Single clients.
      default:
    }
  }

  writeLogEvents(event: LogEventsEvent | SpoolEvent): void {
    switch (event.kind) {
      case "log_events_sent":
        this.eventsSentAt = this.#clock.now();
        this.eventsDelayed = undefined;
        return;
      case "log_events_delayed":
        this.eventsError = this.#error(event.detail);
        this.eventsDelayed ??= this.#from(event.detail);
        return;
      case "log_events_dropped":
      case "log_events_queue_failed":
        this.eventsError = this.#error(event.detail);
        return;
      case "spool_unusable":
      case "spool_failing":
        this.spoolFailing ??= this.#from(event.detail);
        return;
      case "spool_mended":
      case "spool_usable":
        this.spoolFailing = undefined;
        return;
      default:
    }
  }

  writeSinks(event: SinkEvent): void {
    if (event.kind === "sink_failing") this.failingSinks.set(event.sink, this.#from(event.detail));
    else this.failingSinks.delete(event.sink);
  }

  writeSupervision(event: SupervisionEvent): void {
    switch (event.kind) {
      case "loop_failed": {
        const since = this.failingLoops.get(event.loop)?.since ?? this.#clock.now();
        this.failingLoops.set(event.loop, { since, reason: shownError(event) });
        return;
      }
      case "loop_recovered":
        if (event.failing === 0) this.failingLoops.delete(event.loop);
        return;
      case "task_failed":
        this.taskFailed = this.#from(`${event.task}: ${shownError(event)}`);
    }
  }

  #error(detail: string): HappenedError {
    return { at: isoOf(this.#clock.now()), detail };
  }

  #from(reason: string): Condition {
    return { since: this.#clock.now(), reason };
  }
}

const shownError = ({ detail, at }: DescribedError): string =>
  at === undefined ? detail : `${detail}, at ${at}`;
