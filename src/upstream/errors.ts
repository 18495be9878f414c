import type { FetchFailure } from "../specs/source.ts";
import { TimeLimitReached } from "./time-limit.ts";

/** `abortedBy` is why our own time limit ended the request, if it did. */
export function failedToConnect(error: unknown, abortedBy: unknown): FetchFailure {
  if (abortedBy instanceof TimeLimitReached) return timedOut(abortedBy);
  return { kind: "failed", cause: "unreachable", detail: describeNetworkError(error) };
}

export function failedToRead(error: unknown, abortedBy: unknown): FetchFailure {
  if (abortedBy instanceof TimeLimitReached) return timedOut(abortedBy);
  return broken(`the answer broke off: ${describeNetworkError(error)}`);
}

export function badStatus(response: Response, now: number): FetchFailure {
  const wait = retryAfterMs(response.headers, now);
  const detail = `upstream answered ${response.status}`;
  return { kind: "failed", cause: "status", detail, ...(wait !== undefined && { retryAfterMs: wait }) };
}

export function broken(detail: string): FetchFailure {
  return { kind: "failed", cause: "broken", detail };
}

function timedOut({ failure, message }: TimeLimitReached): FetchFailure {
  return { kind: "failed", cause: failure, detail: message };
}

const NOT_TRUSTED = "the certificate is not trusted, see NODE_EXTRA_CA_CERTS";

const WORDS: Readonly<Record<string, string>> = {
  ConnectionRefused: "connection refused",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection closed",
  ConnectionClosed: "connection closed",
  ENOTFOUND: "host name not found",
  FailedToOpenSocket: "no connection could be made",
  EPROTO: "TLS handshake failed",
  DEPTH_ZERO_SELF_SIGNED_CERT: NOT_TRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_TRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_TRUSTED,
  CERT_HAS_EXPIRED: "the certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "the certificate is for another host name",
  HTTP2Unsupported: "no HTTP/2 through a proxy",
};

/** A failed request in words. Made from the error's code alone: its message can hold the URL, and so the SDK key. */
export function describeNetworkError(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException;
  return WORDS[code ?? ""] ?? code ?? name ?? "unknown error";
}

/** Longer than any caller waits; keeps numbers of any length finite. */
const MAX_MS = 24 * 3_600_000;

/** As HTTP has them: `Sun, 06 Nov 1994 …`, and of old `Sunday, 06-Nov-94 …` and `Sun Nov  6 …`, which is GMT too. */
const DATE = /^(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )/;

/**
 * Ms until the time that Retry-After names, in seconds or as a date; undefined if it is missing or neither. A date is
 * compared with upstream's own clock if the answer has it, so that ours may be wrong.
 */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1_000, MAX_MS);
  const at = parseDate(value);
  if (at === undefined) return undefined;
  const sentAt = parseDate(headers.get("date")?.trim() ?? "") ?? now;
  return Math.min(Math.max(0, at - sentAt), MAX_MS);
}

function parseDate(value: string): number | undefined {
  if (!DATE.test(value)) return undefined;
  const time = Date.parse(value.endsWith("GMT") ? value : `${value} GMT`);
  return Number.isNaN(time) ? undefined : time;
}
