import { toOrigin } from "../../specs/snapshot.ts";
import type { HeldFeed } from "../../specs/store.ts";
import { FramePump } from "../../streams/frame-pump.ts";
import type { SpecStream, SpecStreams } from "../../streams/spec-stream.ts";
import { StatusError } from "../../streams/status-error.ts";
import { CodingNegotiation } from "../negotiation.ts";
import type { RequestHead } from "../request-context.ts";
import {
  COMMON_HEADERS,
  errorResponse,
  failureResponse,
  malformedKeyResponse,
  throttledResponse,
  unauthorizedResponse,
  unavailableResponse,
} from "../responses.ts";
import { readSinceTime, type SpecTarget } from "../spec-target.ts";
import { ItemSource } from "../streams/item-source.ts";
import { EVENT_CODINGS, type EventCoding, encodeEvents } from "../streams/server-sent-events.ts";
import { StreamedResponse } from "../streams/streamed-response.ts";

/** A client of a stream that was refused should try another relay, or later. */
const REFUSED_RETRY_AFTER_MS = 5_000;

const NOT_ACCEPTABLE = "Accept-Encoding excludes every encoding of the event stream, identity included";

/** Serves config specs as server-sent events (docs/protocol.md, Watching over HTTP). */
export class SpecStreamRoute {
  readonly #streams: SpecStreams;
  readonly #busy: () => Response;
  readonly #negotiation = new CodingNegotiation();
  readonly #pump = new FramePump();
  readonly #open = new Set<ItemSource>();
  #shutdown: StatusError | undefined;

  /** `busy` makes the response to a request above the limit of requests in flight. */
  constructor(streams: SpecStreams, busy: () => Response) {
    this.#streams = streams;
    this.#busy = busy;
  }

  /** Resolves with the stream, or with the reason why there is none; rejects with unexpected errors. */
  async open(request: Request, target: SpecTarget): Promise<Response> {
    const coding = this.#chooseCoding(request);
    if (coding === undefined) return errorResponse(406, { message: NOT_ACCEPTABLE });
    const sdkKey = request.headers.get("statsig-api-key") || target.pathKey;
    try {
      if (this.#shutdown !== undefined) throw this.#shutdown;
      return await this.#follow(request, { ...target, sdkKey, coding });
    } catch (error) {
      if (error instanceof StatusError) return this.#refuse(error, sdkKey);
      throw error;
    }
  }

  /** Ends streams, now and later, so that clients go to another replica. */
  endStreams(reason: StatusError): void {
    this.#shutdown = reason;
    for (const source of this.#open) source.end(reason);
  }

  async #follow(
    { headers, signal }: Request,
    { sdkKey, version, sinceTime, coding }: SpecTarget & { sdkKey: string; coding: EventCoding },
  ): Promise<Response> {
    const stream = this.#streams.enter();
    const asked = {
      ...{ sdkKey, version, headers: () => headers },
      sinceTime: readSinceTime(headers.get("last-event-id")) || sinceTime,
    };
    const held = stream.openHeld(asked) ?? (await closeIfRefused(stream, signal, () => stream.open(asked)));
    const encoding = encodeEvents(coding);
    const onClosed = (closed: ItemSource) => this.#open.delete(closed);
    const source = new ItemSource({ stream, encoding, signal, onClosed, pump: this.#pump });
    // The client may be gone, or the relay shutting down, since the feed was asked for.
    if (!signal.aborted) this.#open.add(source);
    if (this.#shutdown !== undefined) source.end(this.#shutdown);
    return new StreamedResponse(source, { headers: toHeaders(held, coding) });
  }

  #chooseCoding({ headers }: RequestHead): EventCoding | undefined {
    const accepted = this.#negotiation.read(headers.get("accept-encoding")).json;
    for (const coding of accepted) {
      const event = EVENT_CODINGS.find((each) => each === coding);
      if (event !== undefined) return event;
    }
    return undefined;
  }

  #refuse(error: StatusError, sdkKey: string): Response {
    const { code, message, details } = error;
    const { limit, retryAfterMs = REFUSED_RETRY_AFTER_MS } = details;
    switch (code) {
      case "permission_denied":
        return unauthorizedResponse();
      case "invalid_argument":
        return malformedKeyResponse(sdkKey);
      case "unavailable":
        return unavailableResponse(retryAfterMs, message);
      case "resource_exhausted":
        if (limit === "requests") return this.#busy();
        if (limit === "unknown_keys") return throttledResponse(retryAfterMs);
        return unavailableResponse(retryAfterMs, message);
      default:
        return failureResponse(error);
    }
  }
}

/** Resolves with the feed. Closes the stream if there is none, or at once when the client is gone. */
async function closeIfRefused(
  stream: SpecStream,
  signal: AbortSignal,
  open: () => Promise<HeldFeed>,
): Promise<HeldFeed> {
  const close = () => stream.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    return await open();
  } catch (error) {
    close();
    throw error;
  } finally {
    signal.removeEventListener("abort", close);
  }
}

function toHeaders(held: HeldFeed, coding: EventCoding): Record<string, string> {
  const { source, confirmedAt } = toOrigin(held);
  return {
    ...COMMON_HEADERS,
    "content-type": "text/event-stream",
    ...(coding !== "identity" && { "content-encoding": coding }),
    "x-since-time": String(held.snapshot.lcut),
    "x-sfp-source": source,
    ...(confirmedAt !== undefined && { "x-sfp-confirmed-at": confirmedAt }),
    vary: "accept-encoding, statsig-api-key",
    // A proxy that compresses or collects the stream would delay its events.
    "cache-control": "private, no-store, no-transform",
    "x-accel-buffering": "no",
  };
}
