import { Hono } from "hono";
import type { EventIntake, IntakeOutcome } from "../log-events/intake.ts";
import { parseSdkKey, type SdkKey } from "../specs/sdk-key.ts";
import { BodyBudget } from "./body-budget.ts";
import { errorResponse, unavailableResponse } from "./status-json.ts";

/** What an SDK says of itself, and upstream wants to know (WIRE 5). Not what changes with each request. */
const FORWARDED_HEADERS = ["statsig-sdk-type", "statsig-sdk-version", "statsig-server-session-id"];

/** Printable and short: what is longer is none of an SDK's, and would make a group of its own each time. */
const HEADER_VALUE = /^[\x20-\x7e]{1,200}$/;

/** Bodies of all requests together that are read at one time. */
const MAX_BODIES_BYTES = 128 * 1024 * 1024;

/** Long enough for the queue to have room again, short enough that SDKs need not hold much. */
const RETRY_AFTER_MS = 5_000;

/** `POST /v1/log_event` (WIRE 5): every answer is one of 202, 400, 413 and 503. */
export function logEventRoutes(intake: EventIntake): Hono {
  const budget = new BodyBudget(MAX_BODIES_BYTES);
  const app = new Hono();
  app.post("/v1/log_event", async ({ req }) => {
    const sdkKey = parseSdkKey(req.header("statsig-api-key") ?? "");
    if (sdkKey === undefined) return errorResponse(400);
    const bytes = declaredBytes(req.raw, intake.maxBodyBytes);
    if (bytes > intake.maxBodyBytes) return errorResponse(413);
    using room = budget.reserve(bytes);
    if (room === undefined) return responseTo(intake.refuse(sdkKey));
    return responseTo(await accept(intake, req.raw, sdkKey));
  });
  return app;
}

async function accept(intake: EventIntake, request: Request, sdkKey: SdkKey): Promise<IntakeOutcome> {
  let body: Uint8Array<ArrayBuffer>;
  try {
    body = new Uint8Array(await request.arrayBuffer());
  } catch {
    // The client went, or sent more than it said and was cut off by the listener.
    return { kind: "malformed" };
  }
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

function responseTo({ kind }: IntakeOutcome): Response {
  switch (kind) {
    case "accepted":
      // Anything but a JSON object is a failure to SDKs.
      return Response.json({ success: true, message: null }, { status: 202 });
    case "malformed":
      return errorResponse(400);
    case "too_large":
      return errorResponse(413);
    case "unavailable":
      return unavailableResponse(RETRY_AFTER_MS);
  }
}
