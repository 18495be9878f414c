import type { Clock } from "../clock.ts";
import type { KeyGate, Refusal } from "../specs/key-gate.ts";
import type { SdkKey } from "../specs/sdk-key.ts";
import type { BatchReader } from "./batch-reader.ts";
import type { EventBatch, EventQueue } from "./event-queue.ts";
import type { EmitLogEventsEvent } from "./events.ts";
import type { ExposureDedupe } from "./exposure-dedupe.ts";
import { SEPARATOR } from "./joined-events.ts";
import type { BodyReading } from "./read-body.ts";

export interface IntakeOptions {
  readonly reader: BatchReader;
  readonly queue: EventQueue;
  readonly gate: KeyGate;
  /** Undefined where repeats are forwarded as well. */
  readonly dedupe: ExposureDedupe | undefined;
  /** Of one body, before and after decoding. */
  readonly maxBodyBytes: number;
  readonly clock: Clock;
  readonly emit: EmitLogEventsEvent;
}

/** A request with events, its body not yet understood. */
export interface EventRequest {
  readonly sdkKey: SdkKey;
  /** To be forwarded. */
  readonly headers: Readonly<Record<string, string>>;
  readonly contentEncoding: string;
  readonly body: Uint8Array<ArrayBuffer>;
}

export type IntakeOutcome =
  /** The events are safe, or were here before. */
  | { readonly kind: "accepted" }
  | { readonly kind: "malformed" }
  | { readonly kind: "too_large" }
  /** Nothing was kept: the SDK shall try again. */
  | { readonly kind: "unavailable" };

type Read = Extract<BodyReading, { kind: "read" }>;

/** From an SDK's request to the queue. */
export class EventIntake {
  readonly #options: IntakeOptions;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  get maxBodyBytes(): number {
    return this.#options.maxBodyBytes;
  }

  /** Why the key's events are not taken at all; undefined where they are. */
  refusal(sdkKey: SdkKey): Refusal | undefined {
    return this.#options.gate.refusalNow(sdkKey);
  }

  async accept(request: EventRequest): Promise<IntakeOutcome> {
    const { reader, dedupe, maxBodyBytes: maxBytes } = this.#options;
    const { sdkKey, body, contentEncoding } = request;
    let reading: BodyReading;
    try {
      reading = await reader.read({
        sdkKey,
        body,
        contentEncoding,
        maxBytes,
        dedupe: dedupe !== undefined,
      });
    } catch (error) {
      return this.#unavailable(sdkKey, "busy", String(error));
    }
    if (reading.kind === "read") return this.#keep(request, reading);
    this.#options.emit({ kind: "log_events_rejected", sdkKey, reason: reading.kind });
    return { kind: reading.kind };
  }

  /** There is no time to read the request at all. */
  refuse(sdkKey: SdkKey): IntakeOutcome {
    return this.#unavailable(sdkKey, "busy");
  }

  async #keep({ sdkKey, headers }: EventRequest, reading: Read): Promise<IntakeOutcome> {
    const { queue, dedupe, clock, emit } = this.#options;
    const { events, bytes } = this.#unrepeated(reading);
    if (events.length > 0) {
      const group = { sdkKey, metadata: reading.metadata, headers };
      const batch: EventBatch = { group, events, bytes, queuedAt: clock.now() };
      try {
        if ((await queue.put(batch)) === "full") return this.#unavailable(sdkKey, "queue_full");
      } catch (error) {
        return this.#unavailable(sdkKey, "queue_failed", String(error));
      }
      if (reading.digests !== undefined && dedupe?.remember(reading.digests)) {
        emit({ kind: "log_events_window_turned" });
      }
    }
    const repeats = reading.repeats + reading.count - events.length;
    emit({ kind: "log_events_accepted", sdkKey, events: reading.repeats + reading.count, repeats });
    return { kind: "accepted" };
  }

  #unrepeated({ joined, count, bytes, digests }: Read): { events: readonly string[]; bytes: number } {
    const { dedupe } = this.#options;
    const all = count === 0 ? [] : joined.split(SEPARATOR);
    if (dedupe === undefined || digests === undefined) return { events: all, bytes };
    const events = all.filter((_, at) => !dedupe.isRepeat(digests, at));
    if (events.length === all.length) return { events, bytes };
    return { events, bytes: events.reduce((sum, event) => sum + Buffer.byteLength(event), 0) };
  }

  #unavailable(sdkKey: SdkKey, reason: "queue_full" | "busy" | "queue_failed", detail?: string) {
    this.#options.emit({ kind: "log_events_rejected", sdkKey, reason, ...(detail && { detail }) });
    return { kind: "unavailable" } as const;
  }
}
