import type { SinkEvent, SinkName } from "../sinks/events.ts";
import type { MetricRegistry } from "./metric-registry.ts";

/** How the places do that metrics are sent to, as measurements. */
export class SinkMetrics {
  readonly #up = new Map<SinkName, boolean>();

  constructor(registry: MetricRegistry) {
    registry.gauge("SinkUp", () => [...this.#up].map(([sink, isUp]) => [{ sink }, Number(isUp)] as const));
  }

  /** Every place, and whether it takes what it is sent. */
  get states(): ReadonlyMap<SinkName, boolean> {
    return this.#up;
  }

  /** It counts as working until it fails. */
  expect(sink: SinkName): void {
    this.#up.set(sink, true);
  }

  write({ kind, sink }: SinkEvent): void {
    this.#up.set(sink, kind === "sink_works_again");
  }
}
