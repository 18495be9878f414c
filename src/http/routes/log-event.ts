import { Hono } from "hono";
import type { Refusal } from "../../access/admission.ts";
import { parseSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import type { MalformedBody } from "../../log-events/batch.ts";
import type { IntakeOutcome, LogEventService } from "../../log-events/intake.ts";
import { containsRelay, VIA_HEADER } from "../../log-events/via-header.ts";
import type { BodyReader } from "../request-body.ts";
import type { RequestEnv } from "../request-context.ts";
import {
  errorResponse,
  jsonResponse,
  malformedKeyResponse,
  TOO_MANY_UNKNOWN_KEYS,
  unauthorizedResponse,
  unavailableResponse,
} from "../responses.ts";

/**
 * The headers that describe the SDK and that upstream needs (docs/protocol.md, Forwarding headers), and the Via header.
 * Headers that change with each request are left out: they would split groups of events.
 */
const FORWARDED_HEADERS = [
  "statsig-sdk-type",
  "statsig-sdk-version",
  "statsig-server-session-id",
  VIA_HEADER,
];

/** Printable and short. SDKs send nothing longer, and each longer value would make a group of its own. */
const HEADER_VALUE = /^[\x20-\x7e]{1,200}$/;

/** Long enough for the queue to have space again, short enough that SDKs need not hold much. */
const RETRY_AFTER_MS = 5_000;

/** The legacy Elixir and PHP SDKs send log events to the second. */
const PATHS = ["/v1/log_event", "/v1/rgstr"];

/**
 * Serves `POST /v1/log_event` and `POST /v1/rgstr`, which is the same (docs/protocol.md, Log events). Responses are 202, 400, 401,
 * 413 or 503, and 508 to a relay whose events URL leads back to this relay.
 */
export function logEventRoutes(intake: LogEventService, bodies: BodyReader): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.on("POST", PATHS, async ({ req, env }) => {
    if (containsRelay(req.header(VIA_HEADER), intake.relayId)) return errorResponse(508);
    const key = req.header("statsig-api-key") ?? "";
    const sdkKey = parseSdkKey(key);
    if (sdkKey === undefined) return malformedKeyResponse(key);
    const refusal = await intake.refusal(sdkKey);
    if (refusal !== undefined) return toRejection(refusal);
    const bytes = declaredBytes(req.raw, intake.maxBodyBytes);
    if (bytes > intake.maxBodyBytes) return bodies.tooLarge();
    return bodies.withBody(
      req.raw,
      env,
      async (body) => toResponse(await accept(intake, req.raw, sdkKey, body), bodies),
      intake.maxBodyBytes,
    );
  });
  return app;
}

function toRejection(refusal: Refusal): Response {
  if (refusal.kind === "unauthorized") return unauthorizedResponse();
  // 503 in place of 429: the core SDK does not retry a 429, and the events would be lost (docs/protocol.md, Log events).
  return unavailableResponse(refusal.retryAfterMs, TOO_MANY_UNKNOWN_KEYS);
}

async function accept(
  intake: LogEventService,
  request: Request,
  sdkKey: SdkKey,
  body: Uint8Array<ArrayBuffer>,
): Promise<IntakeOutcome> {
  const contentEncoding = request.headers.get("content-encoding") ?? "";
  return intake.accept({ sdkKey, headers: pickForwardedHeaders(request.headers), contentEncoding, body });
}

/** A body of unknown length may be as long as the limit allows. */
function declaredBytes({ headers }: Request, maxBytes: number): number {
  const length = headers.get("content-length");
  return length === null ? maxBytes : Number(length);
}

function pickForwardedHeaders(headers: Headers): Record<string, string> {
  const forwarded: Record<string, string> = {};
  for (const name of FORWARDED_HEADERS) {
    const value = headers.get(name);
    if (value !== null && HEADER_VALUE.test(value)) forwarded[name] = value;
  }
  return forwarded;
}

function toResponse(outcome: IntakeOutcome, bodies: BodyReader): Response {
  switch (outcome.kind) {
    case "accepted":
      // SDKs treat anything but a JSON object as a failure.
      return jsonResponse({ success: true, message: null }, { status: 202 });
    case "malformed":
      return errorResponse(400, { message: PROBLEMS[outcome.problem] });
    case "too_large":
      return bodies.tooLarge();
    case "too_many_events":
    case "metadata_too_large":
      // A relay as the client then sends half as many events, and drops nothing. SDKs retry neither 400 nor 413.
      return errorResponse(413);
    case "unavailable":
      return unavailableResponse(RETRY_AFTER_MS, "The log events cannot be stored now: retry later");
  }
}

const PROBLEMS: Readonly<Record<MalformedBody["problem"], string>> = {
  unknown_coding: "The Content-Encoding is unknown: expected gzip, br, zstd, deflate or none",
  undecodable: "The body is not in the encoding that Content-Encoding names",
  no_json_object: "The body is not a JSON object",
  no_events: "The body has no array named events",
};
