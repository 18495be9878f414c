import { countEvents, type EventChunk } from "../log-events/chunk.ts";
import type { EventGroup, EventSink, SendOutcome } from "../log-events/queue.ts";
import { appendVia, VIA_HEADER } from "../log-events/via-header.ts";
import type { BatchPacker } from "../log-events/workers.ts";
import type { Clock } from "../platform/clock.ts";
import { readBody, type UpstreamEndpoint } from "./endpoint.ts";
import { failedToConnect, retryAfterMs } from "./errors.ts";
import { TimeLimit } from "./time-limit.ts";

/** Of the answer, which says nothing that its status does not. Read so that the connection can be used again. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** Megabytes are sent before the answer begins, and `fetch` does not tell how far it is. */
const ANSWER_WITHIN_MS = 30_000;

const CAME_BACK = "LOG_EVENT_STATSIG_ENDPOINT leads back to a relay that had the events before";

/** Events to Statsig, or to another relay (WIRE 2, 5). */
export class StatsigEvents implements EventSink {
  readonly #endpoint: UpstreamEndpoint;
  readonly #packer: BatchPacker;
  readonly #clock: Clock;

  constructor(endpoint: UpstreamEndpoint, packer: BatchPacker, clock: Clock) {
    this.#endpoint = endpoint;
    this.#packer = packer;
    this.#clock = clock;
  }

  async send(group: EventGroup, chunks: readonly EventChunk[], signal: AbortSignal): Promise<SendOutcome> {
    const body = await this.#packer.pack({ chunks, metadata: group.metadata });
    using limit = new TimeLimit(this.#clock, this.#endpoint.address, signal, ANSWER_WITHIN_MS);
    const headers = this.#headersFor(group, countEvents(chunks));
    try {
      const response = await this.#endpoint.post({ path: "/v1/log_event", headers, body }, limit.signal);
      limit.answered();
      const outcome = this.#outcomeOf(response);
      await readBody(response, MAX_ANSWER_BYTES).catch(() => undefined);
      return outcome;
    } catch (error) {
      signal.throwIfAborted();
      const { detail } = failedToConnect(error, limit.signal.reason);
      return { kind: "retry", trouble: "upstream", detail };
    }
  }

  #headersFor({ sdkKey, headers }: EventGroup, count: number): Record<string, string> {
    return {
      ...headers,
      [VIA_HEADER]: appendVia(headers[VIA_HEADER]),
      "statsig-api-key": sdkKey,
      "statsig-event-count": String(count),
      // When this request is sent, as from an SDK: upstream compares it with its own clock.
      "statsig-client-time": String(this.#clock.now()),
      "content-type": "application/json",
      "content-encoding": "gzip",
      "accept-encoding": "identity",
    };
  }

  #outcomeOf({ status, ok, headers }: Response): SendOutcome {
    if (ok) return { kind: "accepted" };
    if (status === 413) return { kind: "too_large" };
    if (status === 401 || status === 403) return { kind: "unauthorized", status };
    const passing = status === 408 || status === 429;
    if (status >= 400 && status < 500 && !passing) return { kind: "refused", status };
    const afterMs = retryAfterMs(headers, this.#clock.now());
    return {
      kind: "retry",
      // "Too many requests" is said to one customer.
      trouble: status === 429 ? "key" : "upstream",
      detail: status === 508 ? CAME_BACK : `upstream answered ${status}`,
      ...(afterMs !== undefined && { afterMs }),
    };
  }
}
