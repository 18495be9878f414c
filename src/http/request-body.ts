import type { EmitLimitEvent } from "../limits/events.ts";
import { ANSWER_TIMEOUT_MS, type Exchange } from "./exchange.ts";
import { errorResponse } from "./status-json.ts";

/** Reads bodies of requests, for no longer than they may take. */
export class BodyReader {
  readonly #timeoutMs: number;
  readonly #emit: EmitLimitEvent;

  constructor(timeoutMs: number, emit: EmitLimitEvent) {
    this.#timeoutMs = timeoutMs;
    this.#emit = emit;
  }

  /** The answer to a body that is longer than it may be. */
  tooLarge(): Response {
    this.#emit({ kind: "limit_reached", limit: "max-request-body-in-mb" });
    return errorResponse(413);
  }

  /** The whole body; undefined where the client went, was too slow, or sent more than it may. */
  async read(request: Request, exchange: Exchange): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const startedAt = performance.now();
    exchange.limitTo(this.#timeoutMs);
    try {
      return new Uint8Array(await request.arrayBuffer());
    } catch {
      if (performance.now() - startedAt >= this.#timeoutMs) {
        this.#emit({ kind: "limit_reached", limit: "body-timeout-in-s" });
      }
      return undefined;
    } finally {
      exchange.limitTo(ANSWER_TIMEOUT_MS);
    }
  }
}
