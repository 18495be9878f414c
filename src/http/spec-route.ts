import type { SpecFormat } from "../specs/feed.ts";
import { parseSdkKey } from "../specs/sdk-key.ts";
import { isNewsTo, type Snapshot } from "../specs/snapshot.ts";
import type { SpecQuery } from "../specs/spec-query.ts";
import { matchesEntityTag } from "./entity-tag.ts";
import { type AcceptedCodings, CodingNegotiation } from "./negotiation.ts";
import { noUpdateBody, type PreparedBody, specBody } from "./spec-responses.ts";
import type { SpecTarget } from "./spec-target.ts";
import { errorResponse, unauthorizedResponse, unavailableResponse } from "./status-json.ts";

/** The spec endpoints. What is held is answered at once, without a promise. */
export class SpecRoute {
  readonly #query: SpecQuery;
  readonly #negotiation = new CodingNegotiation();

  constructor(query: SpecQuery) {
    this.#query = query;
  }

  answer(request: Request, target: SpecTarget): Response | Promise<Response> {
    const { headers } = request;
    const key = headers.get("statsig-api-key") || target.pathKey;
    const accepted = this.#negotiation.read(headers.get("accept-encoding"));
    const format = wantsProto(headers, target, accepted) ? "proto" : "json";
    const held = this.#query.held(key, target.version, format);
    if (held === undefined) return this.#ask(request, key, target, format, accepted);
    return respond(request, held.snapshot, target.sinceTime, accepted);
  }

  async #ask(
    request: Request,
    keyText: string,
    target: SpecTarget,
    format: SpecFormat,
    accepted: AcceptedCodings,
  ): Promise<Response> {
    const sdkKey = parseSdkKey(keyText);
    if (sdkKey === undefined) return errorResponse(400);
    const answer = await this.#query.ask(sdkKey, target.version, format);
    switch (answer.kind) {
      case "held":
        return respond(request, answer.held.snapshot, target.sinceTime, accepted);
      case "unauthorized":
        return unauthorizedResponse();
      case "unavailable":
        return unavailableResponse(answer.retryAfterMs);
    }
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
