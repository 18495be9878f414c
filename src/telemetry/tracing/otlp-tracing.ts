import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import type { Resource } from "@opentelemetry/resources";
import { TracerProvider } from "@opentelemetry/sdk-trace";
import { type Clock, within } from "../../clock.ts";
import type { OtlpTracesOptions } from "../otlp/otlp-options.ts";
import { openSpanExporter } from "../otlp/span-exporter.ts";
import type { SinkHealth } from "../sinks/sink-health.ts";
import { samplerOf } from "./sampler.ts";
import { SpanQueue } from "./span-queue.ts";
import { Spans } from "./spans.ts";
import { TracedBackup } from "./traced-backup.ts";
import { tracedEventSink } from "./traced-events.ts";
import { tracedManifestSource, tracedManifests } from "./traced-id-lists.ts";
import { tracedAcquirer, tracedPreparer, tracedRefresher, tracedSource } from "./traced-specs.ts";
import type { Tracing } from "./tracing.ts";

export interface OtlpTracingParts {
  readonly clock: Clock;
  readonly resource: Resource;
  readonly health: SinkHealth;
}

/** At shutdown, for the last spans. */
const LAST_EXPORT_MS = 2_000;

/** Sends spans by OTLP; the last of them when it is disposed of. */
export async function startOtlpTracing(
  options: OtlpTracesOptions,
  { clock, resource, health }: OtlpTracingParts,
): Promise<Tracing & AsyncDisposable> {
  const exporter = await openSpanExporter(options.protocol);
  const provider = new TracerProvider({
    resource,
    sampler: samplerOf(options),
    spanProcessors: [new SpanQueue(exporter, options, health)],
  });
  const tracer = provider.getTracer("statsig-forward-proxy");
  return {
    ...tracingBy(new Spans(tracer, new AsyncLocalStorageContextManager().enable())),
    [Symbol.asyncDispose]: async () => {
      await within(
        clock,
        LAST_EXPORT_MS,
        provider.shutdown().catch(() => undefined),
      );
    },
  };
}

function tracingBy(spans: Spans): Tracing {
  const backups = new TracedBackup(spans);
  return {
    headers: () => spans.headers(),
    acquirer: (inner) => tracedAcquirer(inner, spans),
    refresher: (inner) => tracedRefresher(inner, spans),
    source: (inner) => tracedSource(inner, spans),
    preparer: (inner) => tracedPreparer(inner, spans),
    backup: (inner) => backups.wrap(inner),
    keepFirst: (inner) => backups.keepFirst(inner),
    eventSink: (inner) => tracedEventSink(inner, spans),
    manifests: (inner) => tracedManifests(inner, spans),
    manifestSource: (inner) => tracedManifestSource(inner, spans),
  };
}
