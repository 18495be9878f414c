import { METRICS } from "../../../src/telemetry/metrics/catalog.ts";
import { decodeForwarded } from "../log-events/event-relay.ts";
import type { RelayProcess } from "../relay/relay-process.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { readMetrics } from "./metrics-page.ts";
import type { OtlpReceiver } from "./otlp-receiver.ts";
import { readLines } from "./statsd-lines.ts";
import type { UdpListener } from "./udp-listener.ts";

/** A destination of metrics, as tests observe it. */
export interface MetricPlace {
  readonly name: string;
  /** Names such as `SdkKeysHeld.gauge`. Counts and latencies are included once they are above 0. */
  readonly seen: Set<string>;
  /** Reads what has arrived since the last call. */
  look(): void | Promise<void>;
}

const PREFIX = "statsig.forward_proxy.";

/** `latency` is the type of latencies: `ms`, or `d` for a distribution. */
export function statsdPlace(name: string, agent: UdpListener, latency: "ms" | "d"): MetricPlace {
  const seen = new Set<string>();
  let looked = 0;
  const kinds: Readonly<Record<string, string>> = { c: "count", g: "gauge", [latency]: "latency" };
  return {
    name,
    seen,
    look: () => {
      const datagrams = agent.datagrams.slice(looked);
      for (const line of readLines(datagrams)) {
        if (line.value === 0 && line.type === "c") continue;
        const isNamed = line.name.startsWith(PREFIX) && line.name.endsWith(`.${kinds[line.type]}`);
        if (!isNamed) throw new Error(`${line.name} has type ${line.type}`);
        seen.add(line.name.slice(PREFIX.length));
      }
      // A line that is not valid fails each look, and so the test.
      looked += datagrams.length;
    },
  };
}

/** `isLost`: the request was answered with an error. */
export function statsigPlace(
  upstream: Upstream,
  sdkKey: string,
  isLost: (request: object) => boolean,
): MetricPlace {
  const seen = new Set<string>();
  let looked = 0;
  return {
    name: "statsig",
    seen,
    look: () => {
      const requests = upstream.requests.slice(looked);
      looked += requests.length;
      for (const request of requests) {
        if (request.headers["statsig-api-key"] !== sdkKey || isLost(request)) continue;
        const { events } = decodeForwarded(request);
        for (const { eventName } of events as readonly { readonly eventName: string }[])
          seen.add(eventName.slice(PREFIX.length));
      }
    },
  };
}

export function otlpPlace(receiver: OtlpReceiver): MetricPlace {
  const seen = new Set<string>();
  return {
    name: "otlp",
    seen,
    look: () => {
      for (const { name, kind, value } of receiver.received.splice(0).flatMap(({ points }) => points))
        if (kind === "gauge" || value > 0) seen.add(name.slice(PREFIX.length));
    },
  };
}

export function prometheusPlace(relay: RelayProcess): MetricPlace {
  const seen = new Set<string>();
  return {
    name: "Prometheus",
    seen,
    look: async () => {
      for (const { name, value } of await readMetrics(relay)) {
        const [, metric, kind] = /^statsig_forward_proxy_([A-Za-z]+)_(count|latency|gauge)/.exec(name) ?? [];
        if (kind === "gauge" || value > 0) seen.add(`${metric}.${kind}`);
      }
    },
  };
}

/** Returns the metrics, with their kinds, that a destination has not seen. */
export function unseenBy({ name, seen }: MetricPlace, metrics: readonly string[]): readonly string[] {
  return METRICS.filter((row) => metrics.includes(row.name))
    .flatMap((row) => row.kinds.map((kind) => `${row.name}.${kind}`))
    .filter((each) => !seen.has(each))
    .map((each) => `${name}: ${each}`);
}
