import type { SpecFormat } from "../specs/feed.ts";
import { parseSdkKey } from "../specs/sdk-key.ts";
import { isNewsTo, type Snapshot } from "../specs/snapshot.ts";
import type { SpecQuery } from "../specs/spec-query.ts";
import { matchesEntityTag } from "./entity-tag.ts";
import { type AcceptedCodings, CodingNegotiation } from "./negotiation.ts";
import { noUpdateBody, type PreparedBody, specBody } from "./spec-responses.ts";
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

/** The spec endpoints. */
export class SpecRoute {
  readonly #query: SpecQuery;
  readonly #negotiation = new CodingNegotiation();

  constructor(query: SpecQuery) {
    this.#query = query;
  }

  /** From memory, at once; undefined where nothing is held. */
  answerHeld(request: Request, target: SpecTarget): Response | undefined {
    const { key, format, accepted } = this.#wanted(request, target);
    const held = this.#query.held(key, target.version, format);
    return held && respond(request, held.snapshot, target.sinceTime, accepted);
  }

  /** Whatever it takes. */
  async ask(request: Request, target: SpecTarget): Promise<Response> {
    const { key, format, accepted } = this.#wanted(request, target);
    const sdkKey = parseSdkKey(key);
    if (sdkKey === undefined) return errorResponse(400);
    const answer = await this.#query.ask(sdkKey, target.version, format);
    switch (answer.kind) {
      case "held":
        return respond(request, answer.held.snapshot, target.sinceTime, accepted);
      case "unauthorized":
        return unauthorizedResponse();
      case "unavailable":
        return unavailableResponse(answer.retryAfterMs);
      case "throttled":
        return throttledResponse(answer.retryAfterMs);
    }
  }

  #wanted({ headers }: Request, target: SpecTarget): Wanted {
    const accepted = this.#negotiation.read(headers.get("accept-encoding"));
    return {
      key: headers.get("statsig-api-key") || target.pathKey,
      format: wantsProto(headers, target, accepted) ? "proto" : "json",
      accepted,
    };
  }
}

/** The query's word goes before the header's (WIRE 1). Who can't undo the coding gets JSON whatever it says. */
function wantsProto(headers: Headers, target: SpecTarget, accepted: AcceptedCodings): boolean {
  if (!accepted.statsigBr) return false;
  return target.supportsProto ?? headers.get("statsig-supports-proto") === "true";
}

function respond(
  request: Request,
  snapshot: Snapshot,
  sinceTime: number,
  accepted: AcceptedCodings,
): Response {
  if (!isNewsTo(sinceTime, snapshot)) return send(noUpdateBody(snapshot));
  if (snapshot.format === "json" && accepted.json === undefined) return errorResponse(406);
  const body = specBody(snapshot, accepted.json ?? "identity");
  // RFC 9110, 13.1.2: on a POST it would be no question for a cache.
  const ifNoneMatch = request.method === "POST" ? null : request.headers.get("if-none-match");
  if (ifNoneMatch !== null && matchesEntityTag(ifNoneMatch, body.entityTag)) return notModified(body);
  return send(body);
}

function send(body: PreparedBody): Response {
  return new Response(body.blob, { headers: body.headers });
}

function notModified(body: PreparedBody): Response {
  const headers = new Headers(body.headers);
  headers.delete("content-type");
  headers.delete("content-encoding");
  return new Response(null, { status: 304, headers });
}
