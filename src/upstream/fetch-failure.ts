import type { FetchFailure } from "../specs/spec-source.ts";
import { describeNetworkError } from "./network-error.ts";
import { retryAfterMs } from "./retry-after.ts";
import { ConnectTimeout, TotalTimeout } from "./time-limit.ts";

/** `abortedBy` is why our own time limit ended the request, where it did. */
export function failedToConnect(error: unknown, abortedBy: unknown): FetchFailure {
  if (abortedBy instanceof ConnectTimeout) {
    return { kind: "failed", cause: "unreachable", detail: "no connection to upstream within 10 s" };
  }
  if (abortedBy instanceof TotalTimeout) return timedOut();
  return { kind: "failed", cause: "unreachable", detail: describeNetworkError(error) };
}

export function failedToRead(error: unknown, abortedBy: unknown): FetchFailure {
  if (abortedBy instanceof TotalTimeout) return timedOut();
  return broken(`the answer broke off: ${describeNetworkError(error)}`);
}

export function badStatus(response: Response, now: number): FetchFailure {
  const wait = retryAfterMs(response.headers.get("retry-after"), now);
  const detail = `upstream answered ${response.status}`;
  return { kind: "failed", cause: "status", detail, ...(wait !== undefined && { retryAfterMs: wait }) };
}

export function broken(detail: string): FetchFailure {
  return { kind: "failed", cause: "broken", detail };
}

function timedOut(): FetchFailure {
  return { kind: "failed", cause: "timeout", detail: "no whole answer from upstream within 30 s" };
}
