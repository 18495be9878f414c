import { STATUS_CODES } from "node:http";

/**
 * Returns a response with the JSON body of every error (docs/protocol.md, HTTP errors): `{"code": 404, "reason": "Not
 * Found"}`.
 */
export function errorResponse(
  code: number,
  headers?: Readonly<Record<string, string>>,
  reason = STATUS_CODES[code] ?? "Error",
): Response {
  return Response.json({ code, reason }, { status: code, headers: { ...COMMON_HEADERS, ...headers } });
}

/** Returns the response to an unknown or revoked SDK key. SDKs expect this text (docs/protocol.md, HTTP errors). */
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
 * The headers of every response of the HTTP ports: browsers do not guess another content type, and the version is not
 * exposed.
 */
export const COMMON_HEADERS = {
  "x-content-type-options": "nosniff",
  server: "statsig-forward-proxy",
} as const;

/** Whether an If-None-Match header names the tag, by weak comparison (RFC 9110, 13.1.2). */
export function matchesEntityTag(ifNoneMatch: string, entityTag: string): boolean {
  if (ifNoneMatch.trim() === "*") return true;
  return ifNoneMatch.split(",").some((each) => each.trim().replace(/^W\//, "") === entityTag);
}
