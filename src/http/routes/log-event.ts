import { Hono } from "hono";
import type { Refusal } from "../../access/admission.ts";
import { parseSdkKey, type SdkKey } from "../../access/sdk-key.ts";
import type { EventIntake, IntakeOutcome } from "../../log-events/intake.ts";
import { containsThisRelay, VIA_HEADER } from "../../log-events/via-header.ts";
import type { RequestEnv } from "../exchange.ts";
import type { BodyReader } from "../request-body.ts";
import { errorResponse, unauthorizedResponse, unavailableResponse } from "../responses.ts";

/** What an SDK says of itself, and upstream wants to know (WIRE 5). Not what changes with each request. And their way. */
const FORWARDED_HEADERS = [
  "statsig-sdk-type",
  "statsig-sdk-version",
  "statsig-server-session-id",
  VIA_HEADER,
];

/** Printable and short: what is longer is none of an SDK's, and would make a group of its own each time. */
const HEADER_VALUE = /^[\x20-\x7e]{1,200}$/;

/** Long enough for the queue to have room again, short enough that SDKs need not hold much. */
const RETRY_AFTER_MS = 5_000;

/** `POST /v1/log_event` (WIRE 5): every answer is one of 202, 400, 401, 413 and 503; to a relay that is told where to send events wrongly, 508. */
export function logEventRoutes(intake: EventIntake, bodies: BodyReader): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.post("/v1/log_event", async ({ req, env }) => {
    if (containsThisRelay(req.header(VIA_HEADER))) return errorResponse(508);
    const sdkKey = parseSdkKey(req.header("statsig-api-key") ?? "");
    if (sdkKey === undefined) return errorResponse(400);
    const refusal = intake.refusal(sdkKey);
    if (refusal !== undefined) return refused(refusal);
    const bytes = declaredBytes(req.raw, intake.maxBodyBytes);
    if (bytes > intake.maxBodyBytes) return bodies.tooLarge();
    return bodies.withBody(req.raw, env, async (body) =>
      responseTo(await accept(intake, req.raw, sdkKey, body), bodies),
    );
  });
  return app;
}

function refused(refusal: Refusal): Response {
  if (refusal.kind === "unauthorized") return unauthorizedResponse();
  // Not 429: core does not try that again, and the events would be lost (WIRE 1, 5).
  return unavailableResponse(refusal.retryAfterMs);
}

async function accept(
  intake: EventIntake,
  request: Request,
  sdkKey: SdkKey,
  body: Uint8Array<ArrayBuffer>,
): Promise<IntakeOutcome> {
  const contentEncoding = request.headers.get("content-encoding") ?? "";
  return intake.accept({ sdkKey, headers: forwardedHeaders(request.headers), contentEncoding, body });
}

/** A body of unknown length may be as long as is allowed. */
function declaredBytes({ headers }: Request, maxBytes: number): number {
  const length = headers.get("content-length");
  return length === null ? maxBytes : Number(length);
}

function forwardedHeaders(headers: Headers): Record<string, string> {
  const forwarded: Record<string, string> = {};
  for (const name of FORWARDED_HEADERS) {
    const value = headers.get(name);
    if (value !== null && HEADER_VALUE.test(value)) forwarded[name] = value;
  }
  return forwarded;
}

function responseTo({ kind }: IntakeOutcome, bodies: BodyReader): Response {
  switch (kind) {
    case "accepted":
      // Anything but a JSON object is a failure to SDKs.
      return Response.json({ success: true, message: null }, { status: 202 });
    case "malformed":
      return errorResponse(400);
    case "too_large":
      return bodies.tooLarge();
    case "too_many_events":
    case "metadata_too_large":
      // A relay that is the client sends half as many then, and drops nothing; SDKs try neither 400 nor 413 again.
      return errorResponse(413);
    case "unavailable":
      return unavailableResponse(RETRY_AFTER_MS);
  }
}
