import type { KeyGate, Refusal } from "../access/admission.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import type { Clock } from "../platform/clock.ts";
import { countEvents } from "./chunk.ts";
import type { EmitLogEventsEvent } from "./events.ts";
import type { BodyReading } from "./parse.ts";
import type { EventQueue } from "./queue.ts";
import type { BatchReader } from "./workers.ts";

interface IntakeOptions {
  readonly reader: BatchReader;
  readonly queue: EventQueue;
  readonly gate: KeyGate;
  /** How many exposures are remembered; undefined if repeats are forwarded as well. */
  readonly dedupeLimit: number | undefined;
  /** Of one body, before and after decoding. */
  readonly maxBodyBytes: number;
  /** Of one body. */
  readonly maxEvents: number;
  readonly clock: Clock;
  readonly emit: EmitLogEventsEvent;
}

/** A request with events, its body not yet understood. */
interface EventRequest {
  readonly sdkKey: SdkKey;
  /** To be forwarded. */
  readonly headers: Readonly<Record<string, string>>;
  readonly contentEncoding: string;
  readonly body: Uint8Array<ArrayBuffer>;
}

export type IntakeOutcome =
  /** The events are safe, or were here before. */
  | { readonly kind: "accepted" }
  /** Larger in one way or another than a body may be, or not to be understood. */
  | { readonly kind: Exclude<BodyReading["kind"], "read"> }
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
    const { reader, dedupeLimit, maxBodyBytes: maxBytes, maxEvents } = this.#options;
    const { sdkKey, body, contentEncoding } = request;
    let reading: BodyReading;
    try {
      reading = await reader.read({ sdkKey, body, contentEncoding, maxBytes, maxEvents, dedupeLimit });
    } catch (error) {
      return this.#unavailable(sdkKey, "busy", String(error));
    }
    if (reading.kind === "read") return this.#keep(request, reading);
    this.#options.emit({ kind: "log_events_rejected", sdkKey, reason: reading.kind });
    return { kind: reading.kind };
  }

  async #keep({ sdkKey, headers }: EventRequest, reading: Read): Promise<IntakeOutcome> {
    const { queue, clock, emit } = this.#options;
    const { chunks, repeats, metadata, digests } = reading;
    if (chunks.length > 0) {
      const batch = { group: { sdkKey, metadata, headers }, chunks, queuedAt: clock.now() };
      try {
        if ((await queue.put(batch)) === "full") return this.#unavailable(sdkKey, "queue_full");
      } catch (error) {
        return this.#unavailable(sdkKey, "queue_failed", String(error));
      }
      if (digests !== undefined) void this.#remember(digests);
    }
    emit({ kind: "log_events_accepted", sdkKey, events: countEvents(chunks) + repeats, repeats });
    return { kind: "accepted" };
  }

  async #remember(digests: Uint32Array<ArrayBuffer>): Promise<void> {
    const { reader, emit } = this.#options;
    // Forgotten exposures are forwarded once more, which does less harm than to refuse events that are kept.
    const hasTurned = await reader.remember(digests).catch(() => false);
    if (hasTurned) emit({ kind: "log_events_window_turned" });
  }

  #unavailable(sdkKey: SdkKey, reason: "queue_full" | "busy" | "queue_failed", detail?: string) {
    this.#options.emit({ kind: "log_events_rejected", sdkKey, reason, ...(detail && { detail }) });
    return { kind: "unavailable" } as const;
  }
}
