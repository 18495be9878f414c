import type { KeyGate, Refusal } from "../access/admission.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import { countEvents } from "./chunk.ts";
import type { EmitLogEventsEvent } from "./events.ts";
import type { BodyReading } from "./parse.ts";
import type { EventQueue } from "./queue.ts";
import { RELAY_ID } from "./via-header.ts";
import type { BatchReader } from "./workers.ts";

interface IntakeOptions {
  readonly reader: BatchReader;
  readonly queue: EventQueue;
  readonly gate: KeyGate;
  /** The number of exposures that are remembered; undefined if duplicates are forwarded. */
  readonly dedupeLimit: number | undefined;
  /** Limits each body both before and after decoding. */
  readonly maxBodyBytes: number;
  /** Limits the events of one body. */
  readonly maxEvents: number;
  readonly clock: Clock;
  readonly emit: EmitLogEventsEvent;
}

/** A request with events whose body is not parsed yet. */
export interface EventRequest {
  readonly sdkKey: SdkKey;
  /** The headers to forward, by lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly contentEncoding: string;
  readonly body: Uint8Array<ArrayBuffer>;
}

export type IntakeOutcome =
  /** The queue has the events, or they are all duplicates. */
  | { readonly kind: "accepted" }
  /** The body is malformed, or exceeds a limit. */
  | Exclude<BodyReading, { kind: "read" }>
  /** No event was queued; the client should retry. */
  | { readonly kind: "unavailable" };

type ReadBody = Extract<BodyReading, { kind: "read" }>;

/** Takes log events of clients. Arguments and results are plain data, so that the service can be called from other threads. */
export interface LogEventService {
  /** The limit of each body, both before and after decoding. */
  readonly maxBodyBytes: number;
  /** What the relay appends to the Via header of the events that it forwards. */
  readonly relayId: string;
  /** Returns why events of the key are not accepted at all, or undefined if they are. */
  refusal(sdkKey: SdkKey): Promise<Refusal | undefined>;
  /** Takes ownership of `request.body`: the caller must not use it again. */
  accept(request: EventRequest): Promise<IntakeOutcome>;
}

/** Brings the events of requests into the queue. */
export class EventIntake implements LogEventService {
  readonly relayId = RELAY_ID;
  readonly #options: IntakeOptions;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  get maxBodyBytes(): number {
    return this.#options.maxBodyBytes;
  }

  async refusal(sdkKey: SdkKey): Promise<Refusal | undefined> {
    return this.#options.gate.refusalNow(sdkKey);
  }

  /** Parses the body and queues its events. Never rejects. */
  async accept(request: EventRequest): Promise<IntakeOutcome> {
    const { reader, dedupeLimit, maxBodyBytes: maxBytes, maxEvents } = this.#options;
    const { sdkKey, body, contentEncoding } = request;
    let reading: BodyReading;
    try {
      reading = await reader.read({ sdkKey, body, contentEncoding, maxBytes, maxEvents, dedupeLimit });
    } catch (error) {
      return this.#unavailable(sdkKey, "busy", String(error));
    }
    if (reading.kind === "read") return this.#enqueue(request, reading);
    this.#options.emit({ kind: "log_events_rejected", sdkKey, reason: reading.kind });
    return reading;
  }

  async #enqueue({ sdkKey, headers }: EventRequest, body: ReadBody): Promise<IntakeOutcome> {
    const { queue, clock, emit } = this.#options;
    const { chunks, duplicates, metadata, digests } = body;
    if (chunks.length > 0) {
      const batch = { group: { sdkKey, metadata, headers }, chunks, queuedAt: clock.now() };
      try {
        if ((await queue.put(batch)) === "full") return this.#unavailable(sdkKey, "queue_full");
      } catch (error) {
        return this.#unavailable(sdkKey, "queue_failed", String(error));
      }
      if (digests !== undefined) void this.#remember(digests);
    }
    emit({ kind: "log_events_accepted", sdkKey, events: countEvents(chunks) + duplicates, duplicates });
    return { kind: "accepted" };
  }

  async #remember(digests: Uint32Array<ArrayBuffer>): Promise<void> {
    const { reader, emit } = this.#options;
    // If this fails, duplicates are forwarded. That does less harm than rejecting events that are queued already.
    const hasTurned = await reader.remember(digests).catch(() => false);
    if (hasTurned) emit({ kind: "log_events_window_turned" });
  }

  #unavailable(sdkKey: SdkKey, reason: "queue_full" | "busy" | "queue_failed", detail?: string) {
    this.#options.emit({ kind: "log_events_rejected", sdkKey, reason, ...(detail && { detail }) });
    return { kind: "unavailable" } as const;
  }
}
