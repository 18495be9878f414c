import type { FetchFailure } from "../specs/spec-source.ts";
import { describeNetworkError } from "./network-error.ts";
import { retryAfterMs } from "./retry-after.ts";
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
