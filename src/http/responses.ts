import { STATUS_CODES } from "node:http";
import { SDK_KEY_RULE } from "../access/sdk-key.ts";
import { ThreadUnreachable } from "../platform/thread-channel.ts";

/** What an error response may have beside its status. */
interface ErrorDetails {
  /** A sentence for people: what is wrong, what was expected and what helps. It contains nothing of the request. */
  readonly message?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Replaces the reason phrase of the status. */
  readonly reason?: string;
}

/**
 * Returns a response with the JSON body of every error (docs/protocol.md, HTTP errors): `{"code": 404, "reason": "Not
 * Found"}`, and `message` if the status alone does not say what is wrong.
 */
export function errorResponse(code: number, { message, headers, reason }: ErrorDetails = {}): Response {
  const body = { code, reason: reason ?? STATUS_CODES[code] ?? "Error", ...(message && { message }) };
  return jsonResponse(body, { status: code, headers: { ...COMMON_HEADERS, ...headers } });
}

/** As `Response.json`, with the content type of the original proxy, which names no charset. */
export function jsonResponse(
  body: object,
  { status, headers }: { readonly status: number; readonly headers?: Readonly<Record<string, string>> },
): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { ...headers, "content-type": "application/json" },
  });
}

/** Returns the response to an unknown or revoked SDK key. SDKs expect this text (docs/protocol.md, HTTP errors). */
export function unauthorizedResponse(): Response {
  return new Response("Unauthorized", {
    status: 401,
    headers: { ...COMMON_HEADERS, "content-type": "text/plain; charset=utf-8" },
  });
}

/** Returns the 400 to a request without a valid SDK key. `text` is what it has instead. */
export function malformedKeyResponse(text: string): Response {
  return errorResponse(400, { message: text === "" ? MISSING_KEY : MALFORMED_KEY });
}

const MISSING_KEY = "The SDK key is missing: send it in the path or in the header statsig-api-key";
const MALFORMED_KEY = `The SDK key is malformed: expected ${SDK_KEY_RULE}`;

export function unavailableResponse(retryAfterMs: number, message: string): Response {
  return errorResponse(503, { message, headers: retryAfter(retryAfterMs) });
}

/**
 * Returns the response to a request whose handling threw. A thread that does not reply is overloaded, so that a retry helps,
 * while anything else is a bug.
 */
export function failureResponse(error: unknown): Response {
  return error instanceof ThreadUnreachable
    ? unavailableResponse(UNREACHABLE_RETRY_AFTER_MS, "The relay is overloaded: retry later")
    : errorResponse(500);
}

const UNREACHABLE_RETRY_AFTER_MS = 5_000;

export function throttledResponse(retryAfterMs: number): Response {
  return errorResponse(429, { message: TOO_MANY_UNKNOWN_KEYS, headers: retryAfter(retryAfterMs) });
}

/** The message of the 400 to a request that no route can handle. */
export const INVALID_REQUEST = "The request has no valid URL, or not exactly one valid Host";

/** The message of a 429, and of a 503 where SDKs would lose data after a 429. */
export const TOO_MANY_UNKNOWN_KEYS = "Too many unknown SDK keys were requested: retry later";

export function retryAfter(ms: number): Readonly<Record<string, string>> {
  return { "retry-after": String(Math.max(1, Math.ceil(ms / 1_000))) };
}

/**
 * The headers of every response of the HTTP ports, with the values of the original proxy: security scanners look for them. The
 * version is not exposed.
 */
export const COMMON_HEADERS = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "SAMEORIGIN",
  "permissions-policy": "interest-cohort=()",
  server: "statsig-forward-proxy",
} as const;

/** Whether an If-None-Match header names the tag, by weak comparison (RFC 9110, 13.1.2). */
export function matchesEntityTag(ifNoneMatch: string, entityTag: string): boolean {
  if (ifNoneMatch.trim() === "*") return true;
  return ifNoneMatch.split(",").some((each) => each.trim().replace(/^W\//, "") === entityTag);
}
