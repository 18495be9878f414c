import type { Feed, SpecFormat } from "../specs/feed.ts";
import type { HeldFeed } from "../specs/held-feed.ts";
import { parseSdkKey } from "../specs/sdk-key.ts";
import { type ContentCoding, isNewsTo, type Snapshot } from "../specs/snapshot.ts";
import type { SpecAnswer, SpecQuery } from "../specs/spec-query.ts";
import { carryingTrace } from "../trace-context.ts";
import { matchesEntityTag } from "./entity-tag.ts";
import type { RequestHead } from "./http1-request.ts";
import { type AcceptedCodings, CodingNegotiation } from "./negotiation.ts";
import type { PreparedAnswer } from "./prepared-answer.ts";
import type { SpecAnswers } from "./spec-answers.ts";
import type { SpecTarget } from "./spec-target.ts";
import {
  errorResponse,
  throttledResponse,
  unauthorizedResponse,
  unavailableResponse,
} from "./status-json.ts";

interface Wanted {
  readonly key: string;
  readonly format: SpecFormat;
  readonly accepted: AcceptedCodings;
}

/** What is held, for a client: to be sent and counted. */
export interface HeldAnswer {
  readonly prepared: PreparedAnswer;
  readonly accepted: AcceptedCodings;
}

/** The spec endpoints. */
export class SpecRoute {
  readonly #query: SpecQuery;
  readonly #answers: SpecAnswers;
  readonly #negotiation = new CodingNegotiation();

  constructor(query: SpecQuery, answers: SpecAnswers) {
    this.#query = query;
    this.#answers = answers;
  }

  /** From memory, at once; undefined where nothing is held, or nothing that the client can read. */
  held(request: RequestHead, target: SpecTarget): HeldAnswer | undefined {
    const { key, format, accepted } = this.#wanted(request, target);
    const held = this.#query.held(key, target.version, format);
    const prepared = held && this.#choose(request, held, target.sinceTime, accepted);
    return prepared && { prepared, accepted };
  }

  /** Whatever it takes. */
  async ask(request: Request, target: SpecTarget): Promise<Response> {
    const { key, format, accepted } = this.#wanted(request, target);
    const sdkKey = parseSdkKey(key);
    if (sdkKey === undefined) return errorResponse(400);
    const answer = await this.#find(request, { sdkKey, version: target.version, format });
    switch (answer.kind) {
      case "held": {
        const prepared = this.#choose(request, answer.held, target.sinceTime, accepted);
        return prepared?.response() ?? errorResponse(406);
      }
      case "unauthorized":
        return unauthorizedResponse();
      case "unavailable":
        return unavailableResponse(answer.retryAfterMs);
      case "throttled":
        return throttledResponse(answer.retryAfterMs);
    }
  }

  /** What is held needs no upstream, and so no trace. */
  async #find({ headers }: Request, { sdkKey, version, format }: Feed): Promise<SpecAnswer> {
    const held = this.#query.held(sdkKey, version, format);
    if (held !== undefined) return { kind: "held", held };
    return carryingTrace(headers, () => this.#query.ask(sdkKey, version, format));
  }

  #wanted({ headers }: RequestHead, target: SpecTarget): Wanted {
    const accepted = this.#negotiation.read(headers.get("accept-encoding"));
    return {
      key: headers.get("statsig-api-key") || target.pathKey,
      format: wantsProto(headers, target, accepted) ? "proto" : "json",
      accepted,
    };
  }

  /** Undefined where the client accepts no coding of it. */
  #choose(
    request: RequestHead,
    held: HeldFeed,
    sinceTime: number,
    accepted: AcceptedCodings,
  ): PreparedAnswer | undefined {
    const { snapshot } = held;
    if (!isNewsTo(sinceTime, snapshot)) return this.#answers.noUpdate(held);
    const coding = snapshot.format === "proto" ? "statsig-br" : bestHeld(accepted.json, snapshot);
    if (coding === undefined) return undefined;
    const { full, notModified, entityTag } = this.#answers.spec(held, coding);
    // RFC 9110, 13.1.2: on a POST it would be no question for a cache.
    const ifNoneMatch = request.method === "POST" ? null : request.headers.get("if-none-match");
    return ifNoneMatch !== null && matchesEntityTag(ifNoneMatch, entityTag) ? notModified : full;
  }
}

/** Large versions are not kept in every coding. */
function bestHeld(accepted: readonly ContentCoding[], { compressed }: Snapshot): ContentCoding | undefined {
  for (const coding of accepted) if (coding === "identity" || compressed[coding] !== undefined) return coding;
  return undefined;
}

/** The query's word goes before the header's (WIRE 1). Who can't undo the coding gets JSON whatever it says. */
function wantsProto(headers: RequestHead["headers"], target: SpecTarget, accepted: AcceptedCodings): boolean {
  if (!accepted.statsigBr) return false;
  return target.supportsProto ?? headers.get("statsig-supports-proto") === "true";
}
