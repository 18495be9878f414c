import { Hono } from "hono";
import { parseSdkKey } from "../../access/sdk-key.ts";
import { withTrace } from "../../platform/trace-context.ts";
import type { ApiVersion, Feed, SpecFormat } from "../../specs/feed.ts";
import type { SpecLookup, SpecQuery } from "../../specs/query.ts";
import { type ContentCoding, isNewsTo, type Snapshot } from "../../specs/snapshot.ts";
import type { HeldFeed } from "../../specs/store.ts";
import type { RequestEnv } from "../exchange.ts";
import type { RequestHead } from "../http1/exchange.ts";
import { type AcceptedCodings, CodingNegotiation } from "../negotiation.ts";
import { type BodyReader, SMALL_BODY_BYTES } from "../request-body.ts";
import {
  errorResponse,
  matchesEntityTag,
  throttledResponse,
  unauthorizedResponse,
  unavailableResponse,
} from "../responses.ts";
import type { PreparedResponse, SpecResponses } from "../spec-responses.ts";

interface Wanted {
  readonly key: string;
  readonly format: SpecFormat;
  readonly accepted: AcceptedCodings;
}

/** What is held, for a client: to be sent and counted. */
export interface CachedResponse {
  readonly prepared: PreparedResponse;
  readonly accepted: AcceptedCodings;
}

/** The spec endpoints. */
export class SpecRoute {
  readonly #query: SpecQuery;
  readonly #answers: SpecResponses;
  readonly #negotiation = new CodingNegotiation();

  constructor(query: SpecQuery, answers: SpecResponses) {
    this.#query = query;
    this.#answers = answers;
  }

  /** From memory, at once; undefined where nothing is held, or nothing that the client can read. */
  held(request: RequestHead, target: SpecTarget): CachedResponse | undefined {
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
  async #find({ headers }: Request, { sdkKey, version, format }: Feed): Promise<SpecLookup> {
    const held = this.#query.held(sdkKey, version, format);
    if (held !== undefined) return { kind: "held", held };
    return withTrace(headers, () => this.#query.ask(sdkKey, version, format));
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
  ): PreparedResponse | undefined {
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

/** `POST /v1/download_config_specs` with `{sinceTime, statsigMetadata}`, as the legacy Rust SDK asks (WIRE 1). */
export function specPostRoutes(route: SpecRoute, bodies: BodyReader): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.post("/:version{v[12]}/download_config_specs/:key?", async (context) => {
    const target = readSpecTarget(context.req.url);
    const { raw } = context.req;
    const answer = (bytes: Uint8Array) => {
      const body = parseBody(new TextDecoder().decode(bytes));
      if (target === undefined || body === undefined) return errorResponse(400);
      const sinceTime = "sinceTime" in body ? readSinceTime(body["sinceTime"]) : target.sinceTime;
      return route.ask(raw, { ...target, sinceTime });
    };
    // It is parsed by the thread that serves everybody.
    return bodies.withBody(raw, context.env, answer, SMALL_BODY_BYTES);
  });
  return app;
}

/** No body at all asks for everything, as `{}` does. */
function parseBody(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text.trim() === "") return {};
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? { ...body } : undefined;
  } catch {
    return undefined;
  }
}

/** What a URL of the spec endpoints asks for. */
export interface SpecTarget {
  readonly version: ApiVersion;
  /** The last path segment less `.json` or `.js`; empty where there is none. Not checked for its form. */
  readonly pathKey: string;
  /** 0 where it is absent or no number: the client gets everything. */
  readonly sinceTime: number;
  /** The query's `supports_proto`; undefined where it says nothing, and a header may. */
  readonly supportsProto: boolean | undefined;
}

const ROUTE = "/download_config_specs";
/** `/v1` or `/v2`. */
const VERSION_LENGTH = 3;

/**
 * Reads a URL, a path alone where the request had no Host, or gives undefined where it is none of the spec endpoints. On the path of every
 * request: no URL object, which would cost as much as all the rest.
 */
export function readSpecTarget(url: string): SpecTarget | undefined {
  const start = url[0] === "/" ? 0 : url.indexOf("/", url.indexOf("://") + 3);
  const version = url.startsWith("/v2", start) ? "v2" : "v1";
  if (version === "v1" && !url.startsWith("/v1", start)) return undefined;
  const afterRoute = start + VERSION_LENGTH + ROUTE.length;
  if (!url.startsWith(ROUTE, start + VERSION_LENGTH)) return undefined;
  const question = url.indexOf("?", afterRoute);
  const path = question < 0 ? url.slice(afterRoute) : url.slice(afterRoute, question);
  const pathKey = readPathKey(path);
  if (pathKey === undefined) return undefined;
  if (question < 0) return { version, pathKey, sinceTime: 0, supportsProto: undefined };
  const supportsProto = queryValue(url, question, "supports_proto");
  return {
    version,
    pathKey,
    sinceTime: readSinceTime(queryValue(url, question, "sinceTime")),
    supportsProto: supportsProto === undefined ? undefined : supportsProto === "true",
  };
}

/** A specsUrl with a trailing slash makes SDKs send `//key.json`. */
function readPathKey(path: string): string | undefined {
  if (path === "") return "";
  const slash = path.lastIndexOf("/");
  for (let i = 0; i <= slash; i++) if (path[i] !== "/") return undefined;
  if (slash < 0) return undefined;
  if (path.endsWith(".json")) return path.slice(slash + 1, -5);
  if (path.endsWith(".js")) return path.slice(slash + 1, -3);
  return path.slice(slash + 1);
}

function queryValue(url: string, question: number, name: string): string | undefined {
  for (let at = question; at >= 0; at = url.indexOf("&", at + 1)) {
    if (!url.startsWith(name, at + 1) || url[at + 1 + name.length] !== "=") continue;
    const end = url.indexOf("&", at + 1);
    return url.slice(at + 2 + name.length, end < 0 ? undefined : end);
  }
  return undefined;
}

/** An lcut that a client says it has, from a query or a body; 0 for none. */
export function readSinceTime(value: unknown): number {
  const sinceTime = typeof value === "number" || typeof value === "string" ? Number(value) : 0;
  return Number.isSafeInteger(sinceTime) && sinceTime > 0 ? sinceTime : 0;
}
