import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import type { Resource } from "@opentelemetry/resources";
import { TracerProvider } from "@opentelemetry/sdk-trace";
import { withTimeout } from "../../platform/abort.ts";
import type { Clock } from "../../platform/clock.ts";
import { openSpanExporter } from "../otlp/exporters.ts";
import type { OtlpTracesOptions } from "../otlp/options.ts";
import type { SinkHealth } from "../push/sink-health.ts";
import { createSampler, SpanQueue, Spans } from "./spans.ts";
import {
  TracedBackup,
  tracedAcquirer,
  tracedEventSink,
  tracedManifestSource,
  tracedManifests,
  tracedPreparer,
  tracedRefresher,
  tracedSource,
} from "./traced.ts";
import type { Tracing } from "./tracing.ts";

interface OtlpTracingParts {
  readonly clock: Clock;
  readonly resource: Resource;
  readonly health: SinkHealth;
}

/** Time limit at shutdown for sending the last spans. */
const LAST_EXPORT_MS = 2_000;

/** Sends spans over OTLP, the last ones when it is disposed of. */
export async function startOtlpTracing(
  options: OtlpTracesOptions,
  { clock, resource, health }: OtlpTracingParts,
): Promise<Tracing & AsyncDisposable> {
  const exporter = await openSpanExporter(options.protocol, {});
  const provider = new TracerProvider({
    resource,
    sampler: createSampler(options),
    spanProcessors: [new SpanQueue(exporter, options, health)],
  });
  const tracer = provider.getTracer("statsig-forward-proxy");
  return {
    ...createTracing(new Spans(tracer, new AsyncLocalStorageContextManager().enable())),
    [Symbol.asyncDispose]: async () => {
      await withTimeout(
        provider.shutdown().catch(() => undefined),
        LAST_EXPORT_MS,
        clock,
      );
    },
  };
}

function createTracing(spans: Spans): Tracing {
  const backups = new TracedBackup(spans);
  return {
    headers: () => spans.headers(),
    acquirer: (inner) => tracedAcquirer(inner, spans),
    refresher: (inner) => tracedRefresher(inner, spans),
    source: (inner) => tracedSource(inner, spans),
    preparer: (inner) => tracedPreparer(inner, spans),
    backup: (inner) => backups.wrap(inner),
    writer: (inner) => backups.wrapWriter(inner),
    eventSink: (inner) => tracedEventSink(inner, spans),
    manifests: (inner) => tracedManifests(inner, spans),
    manifestSource: (inner) => tracedManifestSource(inner, spans),
  };
}
