import type { ManifestOutcome } from "../id-lists/manifest.ts";
import type { FetchFailure, FetchOutcome } from "../specs/source.ts";
import type { Answer } from "./ask-in-turn.ts";
import type { EndpointMember, UselessAnswer } from "./endpoints.ts";

type Outcome = FetchOutcome | ManifestOutcome;

interface Asked {
  readonly member: EndpointMember;
}

/** Statuses of 400 to 499 that say something about the server and not about the request. */
const SERVER_STATUSES: readonly number[] = [408, 425, 429];

/** Returns why an outcome is of no use; undefined for a valid response. */
export function judgeFailure(outcome: Outcome): UselessAnswer | undefined {
  switch (outcome.kind) {
    case "payload":
    case "no_update":
    case "manifest":
      return undefined;
    case "unauthorized": {
      const detail = `upstream answered ${outcome.status}`;
      return { failure: { cause: "unauthorized", detail }, counts: false };
    }
    case "refused":
      return { failure: { cause: "refused", detail: outcome.detail }, counts: false };
    case "failed": {
      const { cause, status = 0, detail, retryAfterMs } = outcome;
      const isOfRequest = status >= 400 && status < 500 && !SERVER_STATUSES.includes(status);
      return { failure: { cause, detail }, counts: !isOfRequest, retryAfterMs };
    }
  }
}

/** Returns one failure for unusable answers of several endpoints: that of the preferred one, with the details of all. */
export function summarizeFailures(answers: readonly Answer<Asked, Outcome>[]): FetchFailure {
  const failures = answers.map(({ by, outcome }) => ({ by, failure: toFailure(outcome) }));
  const [main] = [...failures].sort(
    (a, b) => Number(b.by.member.isPreferred) - Number(a.by.member.isPreferred),
  );
  const detail = failures.map(({ by, failure }) => `${by.member.host}: ${failure.detail}`).join("; ");
  const waits = failures.flatMap(({ failure }) => failure.retryAfterMs ?? []);
  // If one endpoint did not ask to wait, it may be asked again.
  const retryAfterMs = waits.length === failures.length ? Math.min(...waits) : undefined;
  const { cause = "unreachable", status } = main?.failure ?? {};
  return {
    kind: "failed",
    cause,
    ...(status !== undefined && { status }),
    detail,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

function toFailure(outcome: Outcome): FetchFailure {
  switch (outcome.kind) {
    case "failed":
      return outcome;
    case "unauthorized": {
      const { status } = outcome;
      const detail = `upstream answered ${status}, which counts only from the first endpoint`;
      return { kind: "failed", cause: "status", status, detail };
    }
    case "refused":
      return { kind: "failed", cause: "broken", detail: outcome.detail };
    case "no_update":
    case "payload":
    case "manifest":
      return { kind: "failed", cause: "broken", detail: "upstream has no update for a first request" };
  }
}
