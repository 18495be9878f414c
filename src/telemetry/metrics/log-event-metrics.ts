import type { SpoolEvent } from "../../local/event-spool-events.ts";
import type { LogEventsEvent } from "../../log-events/events.ts";
import type { KeyTags } from "./key-tags.ts";
import type { MetricRegistry } from "./metric-registry.ts";

/** What happens to SDKs' events, as measurements. */
export function measureLogEvents(
  event: LogEventsEvent | SpoolEvent,
  registry: MetricRegistry,
  keys: KeyTags,
): void {
  switch (event.kind) {
    case "log_events_accepted":
      registry.count("LogEventAccepted", keys.of(event.sdkKey), event.events);
      if (event.repeats > 0) registry.count("LogEventStoreDeduped", keys.of(event.sdkKey), event.repeats);
      return;
    case "log_events_window_turned":
      registry.count("LogEventStoreDedupeCacheCleared", {});
      return;
    case "log_events_rejected":
      registry.count("LogEventRequestRejected", { reason: event.reason });
      return;
    case "log_events_sent":
      registry.count("LogEventForwarded", keys.of(event.sdkKey), event.events);
      registry.time("LogEventForwardRequest", keys.of(event.sdkKey), event.tookMs);
      return;
    case "log_events_delayed":
      registry.count("LogEventForwardDelayed", {});
      return;
    case "log_events_dropped":
      registry.count("LogEventDropped", { reason: event.reason }, event.events);
      return;
    case "log_events_left":
      if (event.outcome === "lost") registry.count("LogEventDropped", { reason: "shutdown" }, event.events);
      return;
    case "spool_dropped":
      registry.count("LogEventDropped", { reason: `spool_${event.reason}` }, event.events);
      return;
    case "log_events_queue_failed":
      registry.count("LogEventQueueFailed", { action: event.action });
      return;
    case "spool_failing":
    case "spool_unusable":
    case "spool_corrupt_set_aside":
      registry.count("LogEventQueueFailed", { action: event.kind });
      return;
    case "spool_mended":
    case "spool_usable":
  }
}
