import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { emptyResource } from "@opentelemetry/resources";
import { describeExportFailure } from "./export.ts";
import { openMetricExporter, openSpanExporter } from "./exporters.ts";
import type { OtlpProtocol } from "./options.ts";

export interface EmptyExport {
  readonly signal: "metrics" | "traces";
  readonly protocol: OtlpProtocol;
  /** As in `OtlpMetricsOptions`. */
  readonly url?: string | undefined;
  /** Time limit with all retries, in ms. */
  readonly timeoutMs: number;
}

/**
 * Sends a request without metrics or spans, with the endpoint, headers and certificates of real ones. Resolves with undefined if the
 * collector accepted it, else with the reason in words.
 */
export async function sendEmptyExport(given: EmptyExport): Promise<string | undefined> {
  const exporter = await openEmptyExport(given);
  const ended = Promise.withResolvers<ExportResult | undefined>();
  // The gRPC exporter keeps its own limit only once it is connected.
  const late = setTimeout(() => ended.resolve(undefined), given.timeoutMs + 500);
  try {
    exporter.send(ended.resolve);
    const result = await ended.promise;
    if (result === undefined) return `no response within ${given.timeoutMs / 1_000} s`;
    return result.code === ExportResultCode.SUCCESS ? undefined : describeExportFailure(result.error);
  } finally {
    clearTimeout(late);
    await exporter.close().catch(() => undefined);
  }
}

interface OpenedExport {
  readonly send: (done: (result: ExportResult) => void) => void;
  readonly close: () => Promise<void>;
}

async function openEmptyExport({ signal, protocol, url, timeoutMs }: EmptyExport): Promise<OpenedExport> {
  const config = { timeoutMillis: timeoutMs, ...(url !== undefined && { url }) };
  switch (signal) {
    case "metrics": {
      const exporter = await openMetricExporter(protocol, config);
      const nothing = { resource: emptyResource(), scopeMetrics: [] };
      return { send: (done) => exporter.export(nothing, done), close: () => exporter.shutdown() };
    }
    case "traces": {
      const exporter = await openSpanExporter(protocol, config);
      return { send: (done) => exporter.export([], done), close: () => exporter.shutdown() };
    }
  }
}
