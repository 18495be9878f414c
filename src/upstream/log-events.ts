import { countEvents, type EventChunk } from "../log-events/chunk.ts";
import type { EventGroup, EventSink, SendOutcome } from "../log-events/queue.ts";
import { appendVia, VIA_HEADER } from "../log-events/via-header.ts";
import type { BatchPacker } from "../log-events/workers.ts";
import type { Clock } from "../platform/clock.ts";
import { readBody, type UpstreamEndpoint } from "./endpoint.ts";
import { failedToConnect, parseRetryAfter } from "./errors.ts";
import { DEFAULT_LIMITS, TimeLimit, type TimeLimits } from "./time-limit.ts";

/** Limit of the response body. It adds nothing to the status, but is read so that the connection can be reused. */
const MAX_RESPONSE_BYTES = 64 * 1024;

/** Megabytes are sent before the response begins, and `fetch` does not report its progress. */
const LIMITS: TimeLimits = { ...DEFAULT_LIMITS, responseMs: 30_000 };

const LOOP = "LOG_EVENT_STATSIG_ENDPOINT points back to a relay that already forwarded these events";

/** Sends log events to Statsig or another relay (docs/protocol.md, Upstream requests and Log events). */
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
    const { address } = this.#endpoint;
    using limit = new TimeLimit(this.#clock, { address, limits: LIMITS }, signal);
    const headers = this.#createHeaders(group, countEvents(chunks));
    try {
      const response = await this.#endpoint.send({ path: "/v1/log_event", headers, body }, limit.signal);
      limit.responded();
      const outcome = this.#toOutcome(response);
      await readBody(response, MAX_RESPONSE_BYTES).catch(() => undefined);
      return outcome;
    } catch (error) {
      signal.throwIfAborted();
      const { detail } = failedToConnect(error, limit.signal.reason);
      return { kind: "retry", trouble: "upstream", detail };
    }
  }

  #createHeaders({ sdkKey, headers }: EventGroup, count: number): Record<string, string> {
    return {
      ...headers,
      [VIA_HEADER]: appendVia(headers[VIA_HEADER]),
      "statsig-api-key": sdkKey,
      "statsig-event-count": String(count),
      // The time at which this request is sent, as an SDK sends it: upstream compares it with its own clock.
      "statsig-client-time": String(this.#clock.now()),
      "content-type": "application/json",
      "content-encoding": "gzip",
      "accept-encoding": "identity",
    };
  }

  #toOutcome({ status, ok, headers }: Response): SendOutcome {
    if (ok) return { kind: "accepted" };
    if (status === 413) return { kind: "too_large" };
    if (status === 401 || status === 403) return { kind: "unauthorized", status };
    const isTemporary = status === 408 || status === 429;
    if (status >= 400 && status < 500 && !isTemporary) return { kind: "refused", status };
    const afterMs = parseRetryAfter(headers, this.#clock.now());
    return {
      kind: "retry",
      // "Too many requests" concerns one SDK key.
      trouble: status === 429 ? "key" : "upstream",
      detail: status === 508 ? LOOP : `upstream answered ${status}`,
      ...(afterMs !== undefined && { afterMs }),
    };
  }
}
