import type { RpcEvent } from "../grpc/events.ts";
import type { HttpEvent } from "../http/observer.ts";
import type { Clock } from "../platform/clock.ts";
import type { LimitEvent } from "../server/limits.ts";
import type { TlsEvent } from "../server/tls-events.ts";
import { feedId } from "../specs/feed.ts";

/** An event of a serving thread for telemetry, as plain data. */
export type ThreadEvent =
  | { readonly kind: "limit"; readonly event: LimitEvent }
  | { readonly kind: "tls"; readonly event: TlsEvent }
  | { readonly kind: "rpc"; readonly event: RpcEvent }
  | { readonly kind: "http"; readonly event: HttpEvent };

/** From one batch to the next. The first event after a quiet time is sent in the same turn of the event loop. */
export const MIN_INTERVAL_MS = 50;

/** The maximum number of events of a batch that are lines of the debug log: each is different from all others. */
export const MAX_LINES = 500;

/** The maximum number of different events of limits and TLS in a batch. Clients can determine reasons. */
export const MAX_REASONS = 100;

interface BatchOptions {
  readonly clock: Clock;
  readonly send: (event: ThreadEvent) => void;
}

/** Equal events of a batch. */
interface Entry {
  /** The latest of them. */
  latest: ThreadEvent;
  count: number;
}

/**
 * Collects the events of one thread. Equal ones of a batch become one with a `count`: whatever clients do, and however many
 * streams get an update, the control plane receives a limited number of events.
 */
export class ThreadEventBatch implements Disposable {
  readonly #options: BatchOptions;
  readonly #stopping = new AbortController();
  #entries = new Map<string, Entry>();
  #lines = 0;
  #reasons = 0;
  #requestsLeftOut = 0;
  #sentAt = Number.NEGATIVE_INFINITY;
  #isWaiting = false;

  constructor(options: BatchOptions) {
    this.#options = options;
  }

  /** Returns false if the event was left out, which happens only to `http_request` and `rpc_answered`. */
  add(added: ThreadEvent): boolean {
    if (isLine(added)) return this.#addLine(added);
    const key = toKey(added.event);
    if (added.kind !== "tls" || this.#entries.has(key) || ++this.#reasons <= MAX_REASONS)
      this.#put(key, added);
    else this.#put(OTHER_REASON.event.reason, OTHER_REASON);
    return true;
  }

  /** Sends the batch now. */
  flush(): void {
    const entries = this.#entries;
    if (entries.size === 0) return;
    this.#entries = new Map();
    this.#lines = 0;
    this.#reasons = 0;
    this.#sentAt = this.#options.clock.elapsed();
    for (const entry of entries.values()) this.#options.send(toEvent(entry));
  }

  /** Events that were not sent yet are lost. */
  [Symbol.dispose](): void {
    this.#stopping.abort();
  }

  #addLine(added: ThreadEvent): boolean {
    if (this.#lines >= MAX_LINES) {
      if (added.kind === "http") this.#requestsLeftOut++;
      return false;
    }
    const key = `line ${++this.#lines}`;
    if (added.kind !== "http" || this.#requestsLeftOut === 0) {
      this.#put(key, added);
      return true;
    }
    this.#put(key, { kind: "http", event: { ...added.event, notShownBefore: this.#requestsLeftOut } });
    this.#requestsLeftOut = 0;
    return true;
  }

  #put(key: string, added: ThreadEvent): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#entries.set(key, { latest: added, count: 1 });
    } else {
      entry.latest = added;
      entry.count++;
    }
    if (!this.#isWaiting) this.#wait();
  }

  #wait(): void {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    this.#isWaiting = true;
    const send = () => {
      this.#isWaiting = false;
      if (!signal.aborted) this.flush();
    };
    const waitMs = this.#sentAt + MIN_INTERVAL_MS - clock.elapsed();
    if (waitMs <= 0) setImmediate(send);
    else void clock.sleep(waitMs, signal).then(send, () => {});
  }
}

const OTHER_REASON = { kind: "tls", event: { kind: "tls_client_refused", reason: "other" } } as const;

/** Whether each event is a line of the debug log, with a duration of its own. */
function isLine({ event: { kind } }: ThreadEvent): boolean {
  return kind === "http_request" || kind === "rpc_answered";
}

/** Returns the same text for events that may become one. What is left out of it is taken from the latest. */
function toKey(event: ThreadEvent["event"]): string {
  switch (event.kind) {
    case "stream_opened":
    case "stream_closed":
    case "spec_too_large":
      return `${event.kind} ${feedId(event.feed)}`;
    case "stream_sent":
      return `${event.kind} ${event.item} ${event.lcut} ${event.bytes} ${feedId(event.feed)}`;
    case "tls_client_refused":
    case "wrong_protocol":
      return `${event.kind} ${event.port} ${event.reason}`;
    default:
      return JSON.stringify(event);
  }
}

function toEvent({ latest, count }: Entry): ThreadEvent {
  if (count === 1) return latest;
  return { ...latest, event: { ...latest.event, count } } as ThreadEvent;
}
