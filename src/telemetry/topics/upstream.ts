import type { Clock } from "../../platform/clock.ts";
import type { EmitEndpointEvent, EndpointEvent } from "../../upstream/events.ts";
import { debugLine, type Logger } from "../logging/logger.ts";
import { OutageLog } from "../logging/outage-log.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TelemetryOutput } from "../output.ts";

const OUTAGE = {
  begins: "upstream endpoint failing",
  lasts: "upstream endpoint still failing",
  ends: "upstream endpoint works again",
};

/** Logs and metrics of the endpoints of upstream, each by itself. */
export class UpstreamTelemetry {
  readonly emit: EmitEndpointEvent;
  readonly #logger: Logger;
  readonly #registry: MetricRegistry;
  readonly #clock: Clock;
  /** Holds the outages of each URL, so that one endpoint has a line when it begins to fail and one when it works again. */
  readonly #outages = new Map<string, OutageLog>();

  constructor({ logger, registry, clock, contain }: TelemetryOutput) {
    this.emit = contain((event) => this.#record(event));
    this.#logger = logger;
    this.#registry = registry;
    this.#clock = clock;
  }

  #record(event: EndpointEvent): void {
    switch (event.kind) {
      case "endpoint_asked": {
        const { endpoint, result } = event;
        this.#registry.count("UpstreamEndpointAsked", { endpoint, result });
        debugLine(this.#logger, event);
        return;
      }
      case "endpoint_failing": {
        const { url, failure, using = "none" } = event;
        const { cause, detail } = failure;
        this.#outagesOf(url).failed(url, { cause, fields: { endpoint: url, using, detail } });
        return;
      }
      case "endpoint_recovered": {
        const { url, using = "none" } = event;
        if (!this.#outagesOf(url).ended(url, { endpoint: url, using })) debugLine(this.#logger, event);
      }
    }
  }

  #outagesOf(url: string): OutageLog {
    const outages = this.#outages.get(url) ?? new OutageLog(this.#logger, this.#clock, OUTAGE);
    this.#outages.set(url, outages);
    return outages;
  }
}
