import { describeNetworkError } from "../platform/network-errors.ts";
import type { FetchFailure } from "../specs/source.ts";
import { TimeLimitReached } from "./time-limit.ts";

/** `abortReason` is the reason of the request's signal: a {@link TimeLimitReached} if our own time limit ended the request. */
export function failedToConnect(error: unknown, abortReason: unknown): FetchFailure {
  if (abortReason instanceof TimeLimitReached) return timedOut(abortReason);
  return { kind: "failed", cause: "unreachable", detail: describeNetworkError(error) };
}

/** As {@link failedToConnect}, for an error while the body is read. */
export function failedToRead(error: unknown, abortReason: unknown): FetchFailure {
  if (abortReason instanceof TimeLimitReached) return timedOut(abortReason);
  return broken(`the response broke off: ${describeNetworkError(error)}`);
}

export function badStatus(response: Response, now: number): FetchFailure {
  const wait = parseRetryAfter(response.headers, now);
  const { status } = response;
  const detail = `upstream answered ${status}`;
  return {
    kind: "failed",
    cause: "status",
    status,
    detail,
    ...(wait !== undefined && { retryAfterMs: wait }),
  };
}

export function broken(detail: string): FetchFailure {
  return { kind: "failed", cause: "broken", detail };
}

function timedOut({ failure, message }: TimeLimitReached): FetchFailure {
  return { kind: "failed", cause: failure, detail: message };
}

/** Longer than any caller waits; keeps numbers of any length finite. */
const MAX_MS = 24 * 3_600_000;

/** The date formats of HTTP: `Sun, 06 Nov 1994 …`, and the obsolete `Sunday, 06-Nov-94 …` and `Sun Nov  6 …`, all in GMT. */
const DATE = /^(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )/;

/**
 * Returns the ms until the time in Retry-After, which is in seconds or a date; undefined if it is missing or invalid. A date is
 * compared with upstream's own clock if the response has a Date, because this machine's clock may be wrong.
 */
export function parseRetryAfter(headers: Headers, now: number): number | undefined {
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
