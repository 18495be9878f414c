import { STATUS_CODES } from "node:http";

/** The body of every answer that is no success (WIRE 1): `{"code": 404, "reason": "Not Found"}`. */
export function errorResponse(
  code: number,
  headers?: Readonly<Record<string, string>>,
  reason = STATUS_CODES[code] ?? "Error",
): Response {
  return Response.json({ code, reason }, { status: code, headers: { ...COMMON_HEADERS, ...headers } });
}

/** An unknown or revoked SDK key: SDKs expect this text (WIRE 1). */
export function unauthorizedResponse(): Response {
  return new Response("Unauthorized", {
    status: 401,
    headers: { ...COMMON_HEADERS, "content-type": "text/plain" },
  });
}

export function unavailableResponse(
  retryAfterMs: number,
  headers?: Readonly<Record<string, string>>,
): Response {
  return errorResponse(503, { ...retryAfter(retryAfterMs), ...headers });
}

export function throttledResponse(retryAfterMs: number): Response {
  return errorResponse(429, retryAfter(retryAfterMs));
}

function retryAfter(ms: number): Readonly<Record<string, string>> {
  return { "retry-after": String(Math.max(1, Math.ceil(ms / 1_000))) };
}

/**
 * Of every answer that is given on the HTTP port: no browser guesses another type than the one that is said, and nobody
 * learns the version from it.
 */
export const COMMON_HEADERS = {
  "x-content-type-options": "nosniff",
  server: "statsig-forward-proxy",
} as const;

/** Whether an If-None-Match names the tag, by the weak comparison that RFC 9110, 13.1.2 asks for. */
export function matchesEntityTag(ifNoneMatch: string, entityTag: string): boolean {
  if (ifNoneMatch.trim() === "*") return true;
  return ifNoneMatch.split(",").some((each) => each.trim().replace(/^W\//, "") === entityTag);
}
