import type { EmitLimitEvent } from "../limits/events.ts";
import type { BodyBudget, BodyShare } from "./body-budget.ts";
import { ANSWER_TIMEOUT_MS, type Exchange } from "./exchange.ts";
import { errorResponse, unavailableResponse } from "./status-json.ts";

export interface BodyReaderOptions {
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** Of it each body takes what has come of it, not what it says that it will be. */
  readonly budget: BodyBudget;
  readonly emit: EmitLimitEvent;
}

/** A body that came too late is answered before its connection is cut. */
const ANSWER_MARGIN_MS = 1_000;

const NO_ROOM_RETRY_AFTER_MS = 5_000;

/** The largest body of a route that needs a few hundred bytes of it. */
export const SMALL_BODY_BYTES = 64 * 1024;

/** What comes of the rest of such a body must not be taken for the next request. */
const CLOSE = { connection: "close" };

/** Reads bodies of requests, for no longer than they may take. */
export class BodyReader {
  readonly #options: BodyReaderOptions;

  constructor(options: BodyReaderOptions) {
    this.#options = options;
  }

  /** The answer to a body that is longer than it may be. */
  tooLarge(): Response {
    this.#options.emit({ kind: "limit_reached", limit: "max-request-body-in-mb" });
    return errorResponse(413, CLOSE);
  }

  /**
   * Reads to the end and answers; what it takes of the budget is given back after that. `maxBytes` is the route's own
   * limit, for those that need less than the largest body.
   */
  async withBody(
    request: Request,
    exchange: Exchange,
    answer: (body: Uint8Array<ArrayBuffer>) => Response | Promise<Response>,
    maxBytes = this.#options.maxBytes,
  ): Promise<Response> {
    const { timeoutMs, budget } = this.#options;
    using taken = budget.open();
    exchange.limitTo(timeoutMs + ANSWER_MARGIN_MS);
    const late = Promise.withResolvers<"late">();
    // The listener's own timer is begun anew by what comes.
    const deadline = setTimeout(() => late.resolve("late"), timeoutMs);
    const read = await Promise.race([this.#readAll(request, taken, maxBytes), late.promise]);
    clearTimeout(deadline);
    exchange.limitTo(ANSWER_TIMEOUT_MS);
    if (typeof read !== "string") return await answer(read);
    return this.#refusal(read);
  }

  #refusal(reason: "late" | "broken" | "too_large" | "no_room"): Response {
    switch (reason) {
      case "late":
        this.#options.emit({ kind: "limit_reached", limit: "body-timeout-in-s" });
        return errorResponse(408, CLOSE);
      case "broken":
        return errorResponse(400, CLOSE);
      case "too_large":
        return this.tooLarge();
      case "no_room":
        return unavailableResponse(NO_ROOM_RETRY_AFTER_MS, CLOSE);
    }
  }

  async #readAll({ body }: Request, taken: BodyShare, maxBytes: number) {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const chunk of body ?? []) {
        bytes += chunk.length;
        if (bytes > maxBytes) return "too_large" as const;
        if (!taken.take(chunk.length)) return "no_room" as const;
        chunks.push(chunk);
      }
    } catch {
      // The client went.
      return "broken" as const;
    }
    return new Uint8Array(Buffer.concat(chunks));
  }
}
