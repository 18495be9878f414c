import { toOrigin } from "../../specs/snapshot.ts";
import type { HeldFeed } from "../../specs/store.ts";
import { StatusError } from "../../streams/status-error.ts";
import type { StreamBodies } from "../../streams/stream-bodies.ts";
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
import { EVENT_CODINGS, type EventCoding, encodeEvents } from "../streams/server-sent-events.ts";
import { StreamedResponse } from "../streams/streamed-response.ts";

/** A client of a stream that was refused should try another relay, or later. */
const REFUSED_RETRY_AFTER_MS = 5_000;

const NOT_ACCEPTABLE = "Accept-Encoding excludes every encoding of the event stream, identity included";

/** Serves config specs as server-sent events (docs/protocol.md, Watching over HTTP). */
export class SpecStreamRoute {
  readonly #bodies: StreamBodies;
  readonly #busy: () => Response;
  readonly #negotiation = new CodingNegotiation();

  /** `busy` makes the response to a request above the limit of requests in flight. */
  constructor(bodies: StreamBodies, busy: () => Response) {
    this.#bodies = bodies;
    this.#busy = busy;
  }

  /** Resolves with the stream, or with the reason why there is none; rejects with unexpected errors. */
  async open(request: Request, { version, pathKey, sinceTime }: SpecTarget): Promise<Response> {
    const { headers, signal } = request;
    const coding = this.#chooseCoding(request);
    if (coding === undefined) return errorResponse(406, { message: NOT_ACCEPTABLE });
    const sdkKey = headers.get("statsig-api-key") || pathKey;
    const asked = {
      ...{ sdkKey, version, coding, headers: () => headers },
      sinceTime: readSinceTime(headers.get("last-event-id")) || sinceTime,
    };
    try {
      const encoding = encodeEvents(coding);
      const { body, held } = await this.#bodies.open({ request: asked, encoding, signal });
      return new StreamedResponse(body, { headers: toHeaders(held, coding) });
    } catch (error) {
      if (error instanceof StatusError) return this.#refuse(error, sdkKey);
      throw error;
    }
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
