import type { SupervisionEvent } from "../../supervision/events.ts";
import type { MetricRegistry } from "./metric-registry.ts";

/** Errors that are bugs, as measurements. */
export function measureSupervision(event: SupervisionEvent, registry: MetricRegistry): void {
  switch (event.kind) {
    case "loop_failed":
      registry.count("UnexpectedError", { component: event.loop });
      return;
    case "task_failed":
      registry.count("UnexpectedError", { component: event.task });
      return;
    case "loop_recovered":
  }
}
