import { type RelayEvent, type Topics, tell } from "../relay-event.ts";
import { BackupMetrics } from "./backup-metrics.ts";
import { GuardMetrics } from "./guard-metrics.ts";
import { measureIdLists } from "./id-list-metrics.ts";
import type { KeyTags } from "./key-tags.ts";
import { measureLogEvents } from "./log-event-metrics.ts";
import type { MetricRegistry } from "./metric-registry.ts";
import { SinkMetrics } from "./sink-metrics.ts";
import { SpecMetrics } from "./spec-metrics.ts";
import { StreamMetrics } from "./stream-metrics.ts";
import { measureSupervision } from "./supervision-metrics.ts";

/** Turns what happens into measurements. */
export class EventMetrics {
  readonly backups: BackupMetrics;
  readonly sinks: SinkMetrics;
  readonly #topics: Topics;

  constructor(registry: MetricRegistry, keys: KeyTags) {
    this.backups = new BackupMetrics(registry, keys);
    this.sinks = new SinkMetrics(registry);
    const specs = new SpecMetrics(registry);
    const streams = new StreamMetrics(registry);
    const guard = new GuardMetrics(registry);
    this.#topics = {
      specs: (event) => specs.write(event),
      backups: (event) => this.backups.write(event),
      guard: (event) => guard.write(event),
      rpcs: (event) => streams.write(event),
      // Counted where they are answered: RequestMetrics.
      requests: () => undefined,
      logEvents: (event) => measureLogEvents(event, registry, keys),
      idLists: (event) => measureIdLists(event, registry, keys),
      sinks: (event) => this.sinks.write(event),
      supervision: (event) => measureSupervision(event, registry),
    };
  }

  write(event: RelayEvent): void {
    tell(event, this.#topics);
  }
}
