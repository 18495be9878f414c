import { Hono } from "hono";
import { parseSdkKey } from "../../access/sdk-key.ts";
import type { Clock } from "../../platform/clock.ts";
import { withTrace } from "../../platform/trace-context.ts";
import { findDelta } from "../../specs/deltas/delta.ts";
import type { Feed, SpecFormat } from "../../specs/feed.ts";
import type { SpecLookup, SpecLookups } from "../../specs/query.ts";
import { type ContentCoding, isNewsTo, type Snapshot } from "../../specs/snapshot.ts";
import type { HeldFeed } from "../../specs/store.ts";
import { type AcceptedCodings, CodingNegotiation } from "../negotiation.ts";
import { type BodyReader, SMALL_BODY_BYTES } from "../request-body.ts";
import type { RequestEnv, RequestHead } from "../request-context.ts";
import {
  errorResponse,
  malformedKeyResponse,
  matchesEntityTag,
  throttledResponse,
  unauthorizedResponse,
  unavailableResponse,
} from "../responses.ts";
import type { PreparedResponse, SpecResponses } from "../spec-responses.ts";
import { readSinceTime, readSpecTarget, type SpecTarget } from "../spec-target.ts";

interface SpecRequest {
  readonly key: string;
  readonly format: SpecFormat;
  readonly accepted: AcceptedCodings;
}

/** A prepared response for a client, with what is needed to count it. */
export interface CachedResponse {
  readonly prepared: PreparedResponse;
  readonly accepted: AcceptedCodings;
  /** Whether the client holds a version, and accepts a delta to the newest. */
  readonly wantsDelta: boolean;
}

/** Handles requests for config specs. */
export class SpecRoute {
  readonly #query: SpecLookups;
  readonly #responses: SpecResponses;
  readonly #clock: Pick<Clock, "now">;
  readonly #negotiation = new CodingNegotiation();

  constructor(query: SpecLookups, responses: SpecResponses, clock: Pick<Clock, "now">) {
    this.#query = query;
    this.#responses = responses;
    this.#clock = clock;
  }

  /**
   * Returns the response from the cache. Returns undefined if nothing is held, or nothing in a coding that the client
   * accepts.
   */
  fromCache(request: RequestHead, target: SpecTarget): CachedResponse | undefined {
    const { key, format, accepted } = this.#readRequest(request, target);
    const held = this.#query.held(key, target.version, format);
    const prepared = held && this.#choose(request, held, target, accepted);
    return prepared && { prepared, accepted, wantsDelta: wantsDelta(target) };
  }

  /** Returns the response, after a fetch from upstream if the feed is not cached. */
  async fetch(request: Request, target: SpecTarget): Promise<Response> {
    const { key, format, accepted } = this.#readRequest(request, target);
    const sdkKey = parseSdkKey(key);
    if (sdkKey === undefined) return malformedKeyResponse(key);
    const found = await this.#find(request, { sdkKey, version: target.version, format });
    switch (found.kind) {
      case "held": {
        const prepared = this.#choose(request, found.held, target, accepted);
        return prepared?.response() ?? errorResponse(406, { message: NOT_ACCEPTABLE });
      }
      case "unauthorized":
        return unauthorizedResponse();
      case "unavailable":
        return unavailableResponse(found.retryAfterMs, NOTHING_CACHED);
      case "throttled":
        return throttledResponse(found.retryAfterMs);
    }
  }

  /** A cached feed needs no upstream request, and so no trace. */
  async #find({ headers }: Request, { sdkKey, version, format }: Feed): Promise<SpecLookup> {
    const held = this.#query.held(sdkKey, version, format);
    if (held !== undefined) return { kind: "held", held };
    return withTrace(headers, () => this.#query.ask(sdkKey, version, format));
  }

  #readRequest({ headers }: RequestHead, target: SpecTarget): SpecRequest {
    const accepted = this.#negotiation.read(headers.get("accept-encoding"));
    return {
      key: headers.get("statsig-api-key") || target.pathKey,
      format: wantsProto(headers, target, accepted) ? "proto" : "json",
      accepted,
    };
  }

  /** Returns undefined if the client accepts no coding of the snapshot. */
  #choose(
    request: RequestHead,
    held: HeldFeed,
    target: SpecTarget,
    accepted: AcceptedCodings,
  ): PreparedResponse | undefined {
    const { snapshot } = held;
    const { sinceTime, checksum } = target;
    if (!isNewsTo(sinceTime, snapshot, checksum)) return this.#responses.noUpdate(held);
    if (wantsDelta(target)) {
      const delta = findDelta(snapshot, { lcut: sinceTime, checksum }, this.#clock.now());
      if (delta !== undefined) return this.#responses.delta(held, delta);
    }
    const coding = snapshot.format === "proto" ? "statsig-br" : findBestCoding(accepted.json, snapshot);
    if (coding === undefined) return undefined;
    const { full, notModified, entityTag } = this.#responses.spec(held, coding);
    // RFC 9110, 13.1.2: If-None-Match is a cache condition only on GET and HEAD.
    const ifNoneMatch = request.method === "POST" ? null : request.headers.get("if-none-match");
    return ifNoneMatch !== null && matchesEntityTag(ifNoneMatch, entityTag) ? notModified : full;
  }
}

const NOTHING_CACHED = "No config spec of this SDK key is cached, and none could be fetched: retry later";
const NOT_ACCEPTABLE = "Accept-Encoding excludes every encoding of the config spec, identity included";
const NOT_JSON_OBJECT = "The body is not a JSON object";

function wantsDelta({ acceptsDeltas, sinceTime }: SpecTarget): boolean {
  return acceptsDeltas && sinceTime > 0;
}

/** Large versions are not kept in every coding. */
function findBestCoding(
  accepted: readonly ContentCoding[],
  { compressed }: Snapshot,
): ContentCoding | undefined {
  for (const coding of accepted) if (coding === "identity" || compressed[coding] !== undefined) return coding;
  return undefined;
}

/**
 * The query parameter overrides the header (docs/protocol.md, Config specs over HTTP). A client that cannot decode statsig-br
 * always gets JSON.
 */
function wantsProto(headers: RequestHead["headers"], target: SpecTarget, accepted: AcceptedCodings): boolean {
  if (!accepted.statsigBr) return false;
  return target.supportsProto ?? headers.get("statsig-supports-proto") === "true";
}

/**
 * Serves `POST /v1/download_config_specs` with `{sinceTime, statsigMetadata}`, as the legacy Rust SDK sends it
 * (docs/protocol.md, Config specs over HTTP).
 */
export function specPostRoutes(route: SpecRoute, bodies: BodyReader): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.post("/:version{v[12]}/download_config_specs/:key?", async (context) => {
    const target = readSpecTarget(context.req.url);
    const { raw } = context.req;
    const handle = (bytes: Uint8Array) => {
      const body = parseBody(new TextDecoder().decode(bytes));
      if (target === undefined || body === undefined) return errorResponse(400, { message: NOT_JSON_OBJECT });
      const sinceTime = "sinceTime" in body ? readSinceTime(body["sinceTime"]) : target.sinceTime;
      return route.fetch(raw, { ...target, sinceTime });
    };
    // The body is parsed on the main thread, so it must be small.
    return bodies.withBody(raw, context.env, handle, SMALL_BODY_BYTES);
  });
  return app;
}

/** An empty body requests everything, as `{}` does. */
function parseBody(text: string): Readonly<Record<string, unknown>> | undefined {
  if (text.trim() === "") return {};
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? { ...body } : undefined;
  } catch {
    return undefined;
  }
}
