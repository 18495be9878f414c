import type { ReadProbeState } from "../http/routes/probes.ts";
import type { IdListService } from "../id-lists/service.ts";
import type { LogEventService } from "../log-events/intake.ts";
import { runInTrace } from "../platform/trace-context.ts";
import type { ControlCalls } from "../serving/messages.ts";
import type { AskReply } from "../serving/spec-replica.ts";
import type { Feed } from "../specs/feed.ts";
import type { SpecLookups } from "../specs/query.ts";

interface ControlParts {
  readonly specs: Pick<SpecLookups, "ask">;
  readonly idLists: IdListService;
  readonly events: LogEventService;
  readonly readProbeState: ReadProbeState;
}

/** Answers the calls of serving threads. */
export function answerWith({ specs, idLists, events, readProbeState }: ControlParts): ControlCalls {
  return {
    ask: ({ about, trace }) => runInTrace(trace, () => ask(specs, about)),
    probeState: () => readProbeState(),
    manifest: ({ about, trace }) => runInTrace(trace, () => idLists.manifest(about)),
    file: (name) => idLists.file(name),
    fileOnDemand: ({ about, trace }) => runInTrace(trace, () => idLists.fileOnDemand(about)),
    reportUnreadable: (failure) => idLists.reportUnreadable(failure),
    eventRefusal: (sdkKey) => events.refusal(sdkKey),
    acceptEvents: (request) => events.accept(request),
  };
}

/** What is found has been published to the threads by now, and its messages arrive before the reply. */
async function ask(specs: ControlParts["specs"], { sdkKey, version, format }: Feed): Promise<AskReply> {
  const found = await specs.ask(sdkKey, version, format);
  return found.kind === "held" ? { kind: "held", feed: found.held.feed } : found;
}
