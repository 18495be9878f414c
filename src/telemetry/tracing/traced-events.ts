import { ROOT_CONTEXT, SpanKind } from "@opentelemetry/api";
import { countEvents } from "../../log-events/event-chunk.ts";
import type { EventSink, SendOutcome } from "../../log-events/event-sink.ts";
import { maskSdkKey } from "../../specs/sdk-key.ts";
import type { Ending, Spans } from "./spans.ts";

/** Each request to upstream has events of many clients: it is the child of none of them. */
export function tracedEventSink(inner: EventSink, spans: Spans): EventSink {
  return {
    send: (group, chunks, signal) =>
      spans.within(
        ROOT_CONTEXT,
        {
          name: "POST /v1/log_event",
          kind: SpanKind.CLIENT,
          attributes: { sdk_key: maskSdkKey(group.sdkKey), events: countEvents(chunks) },
          ending: endingOf,
        },
        () => inner.send(group, chunks, signal),
      ),
  };
}

function endingOf(outcome: SendOutcome): Ending {
  const { kind } = outcome;
  switch (kind) {
    case "accepted":
      return { attributes: { outcome: kind } };
    case "retry":
      return { attributes: { outcome: kind }, error: outcome.detail };
    case "too_large":
      return { attributes: { outcome: kind }, error: "upstream answered 413" };
    case "refused":
    case "unauthorized":
      return {
        attributes: { outcome: kind, status_code: outcome.status },
        error: `upstream answered ${outcome.status}`,
      };
  }
}
