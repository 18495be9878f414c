import type { VersionId } from "../specs/deltas/delta.ts";
import type { EmitSpecEvent, ResponseOrigin } from "../specs/events.ts";
import type { Feed } from "../specs/feed.ts";
import type { FetchOutcome, SpecSource } from "../specs/source.ts";

/** Reports one request for config specs. */
export type ReportOutcome = (feed: Feed, held: VersionId, outcome: FetchOutcome) => void;

/** Returns a function that emits `spec_response` for each outcome that is a response. */
export function reportResponses(from: ResponseOrigin, emit: EmitSpecEvent): ReportOutcome {
  return (feed, { lcut }, outcome) => {
    const status = statusOf(outcome);
    const held = lcut > 0 || outcome.kind === "payload";
    const bytes = outcome.kind === "payload" ? outcome.raw.body.length : 0;
    if (status !== undefined) emit({ kind: "spec_response", feed, held, from, status, bytes });
  };
}

/** Returns the source with a report of each outcome. */
export function withReports(source: SpecSource, report: ReportOutcome): SpecSource {
  return {
    async fetchSpecs(feed, held, signal, progressed) {
      const outcome = await source.fetchSpecs(feed, held, signal, progressed);
      report(feed, held, outcome);
      return outcome;
    },
  };
}

/** Returns undefined if there was no response. A 304 counts as the 200 that says the same. */
function statusOf(outcome: FetchOutcome): number | undefined {
  switch (outcome.kind) {
    case "payload":
    case "refused":
    case "no_update":
      return 200;
    case "unauthorized":
    case "failed":
      return outcome.status;
  }
}
