import type { SdkKey } from "../access/sdk-key.ts";
import type { ProbeState } from "../http/routes/probes.ts";
import type { IdListService } from "../id-lists/service.ts";
import type { LogEventService } from "../log-events/intake.ts";
import type { ThreadCalls } from "../platform/thread-channel.ts";
import { currentTrace } from "../platform/trace-context.ts";
import type { Feed } from "../specs/feed.ts";
import type { ControlCalls, ServingSetup, Traced } from "./messages.ts";
import type { AskReply } from "./spec-replica.ts";

/** What the control plane decides for a serving thread. A method is at most one call to it. */
export interface ControlPlane {
  readonly idLists: IdListService;
  readonly events: LogEventService;
  ask(feed: Feed): Promise<AskReply>;
  probeState(): Promise<ProbeState>;
}

export function connectControlPlane(
  calls: ThreadCalls<ControlCalls>,
  { logEvents }: Pick<ServingSetup, "logEvents">,
  holds: (sdkKey: SdkKey) => boolean,
): ControlPlane {
  return {
    ask: (feed) => calls.call("ask", traced(feed)),
    probeState: () => calls.call("probeState", undefined),
    idLists: {
      manifest: (request) => calls.call("manifest", traced(request)),
      file: (name) => calls.call("file", name),
      fileOnDemand: (request) => calls.call("fileOnDemand", traced(request)),
      reportUnreadable: (failure) => calls.call("reportUnreadable", failure),
    },
    events: {
      ...logEvents,
      // A key that is not allowed is not held, so that most batches of events need one call.
      refusal: async (sdkKey) => (holds(sdkKey) ? undefined : await calls.call("eventRefusal", sdkKey)),
      accept: (request) => calls.call("acceptEvents", request, [request.body.buffer]),
    },
  };
}

function traced<T>(about: T): Traced<T> {
  return { about, trace: currentTrace() };
}
