import { Hono } from "hono";
import type { SdkKey } from "../../access/sdk-key.ts";
import type { PushResult, SpecPushes } from "../../specs/push.ts";
import type { RequestEnv } from "../request-context.ts";
import { errorResponse, jsonResponse, retryAfter } from "../responses.ts";
import type { EmitOperatorEvent } from "./events.ts";
import { type RequestFields, readFields } from "./request-fields.ts";

interface InvalidateOptions {
  readonly pushes: Pick<SpecPushes, "findKeys" | "push">;
  readonly emit: EmitOperatorEvent;
}

const EXPECTED =
  'expected no body for all SDK keys, or {"key": "…"} with one, whole or as the status page shows it';
const NOT_HELD = "This relay holds nothing of this SDK key: it is fetched when a client asks for it";
const NOT_UNIQUE = "Several SDK keys are shown like this one: give it whole";
const TOO_SOON = "This was polled for another request less than a second ago: try again";
const ALONE =
  "Only this relay was asked to poll: others are reached if they share a Redis that works, with --fleet-polling";

/** Serves `POST /v1/invalidate`, which makes one SDK key, or all, be polled now (docs/operator-api.md). */
export function invalidateRoute({ pushes, emit }: InvalidateOptions): Hono<RequestEnv> {
  const app = new Hono<RequestEnv>();
  app.post("/v1/invalidate", async (context) => {
    const named = findNamed(await readFields(context));
    if (named === undefined) return errorResponse(400, { message: `The body is not valid: ${EXPECTED}` });
    const keys = named === "" ? (["all"] as const) : pushes.findKeys(named);
    const [target] = keys;
    if (target === undefined) return errorResponse(404, { message: NOT_HELD });
    if (keys.length > 1) return errorResponse(409, { message: NOT_UNIQUE });
    const result = await pushes.push(target);
    if ("retryAfterMs" in result)
      return errorResponse(429, { message: TOO_SOON, headers: retryAfter(result.retryAfterMs) });
    const { polled, updated, unchanged, failed, pending, fleet } = result;
    const sdkKey = target === "all" ? undefined : (target as SdkKey);
    const detail = { polled, updated, unchanged, failed, pending, fleet };
    emit({ kind: "operator_acted", action: "invalidate", sdkKey, from: context.env.clientAddress, detail });
    return respond(result);
  });
  return app;
}

/** Returns the SDK key that the fields name, an empty text for all, or undefined if they are not valid. */
function findNamed(fields: RequestFields | undefined): string | undefined {
  if (fields === undefined) return undefined;
  const names = Object.keys(fields);
  if (names.length === 0) return "";
  // A misspelt or empty field must not mean all keys.
  return names.length === 1 ? fields["key"] || undefined : undefined;
}

/** 202 if some feeds are still being polled. */
function respond({ idLists, errors, pending, fleet, ...counts }: PushResult): Response {
  const body = {
    ...counts,
    ...{ pending, id_lists: idLists, fleet },
    ...(!fleet && { note: ALONE }),
    ...(errors.length > 0 && { errors }),
  };
  return jsonResponse(body, { status: pending > 0 ? 202 : 200, headers: { "cache-control": "no-store" } });
}
