import { hostname } from "node:os";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import {
  detectResources,
  type Resource,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from "@opentelemetry/resources";
import type { SinkHealth } from "../push/sink-health.ts";

interface Exporter<T> {
  export(items: T, done: (result: ExportResult) => void): void;
}

interface WatchOptions<T> {
  readonly health: SinkHealth;
  /** An export that has not ended after this time counts as failed, even if it succeeds later. */
  readonly timeoutMs: number;
  /** Returns the number of items that are lost if their export fails. */
  readonly countLost: (items: T) => number;
}

const MAX_DETAIL_CHARS = 200;

/** Exports by `exporter` and reports success and failure to `health`: OpenTelemetry's own logging is switched off. */
export function watchedExport<T>(exporter: Exporter<T>, options: WatchOptions<T>): Exporter<T>["export"] {
  const { health, timeoutMs, countLost } = options;
  return (items, done) => {
    let isLate = false;
    const failed = (detail: string) => {
      health.dropped(countLost(items));
      health.failed(detail);
    };
    const late = setTimeout(() => {
      isLate = true;
      failed(`no response within ${timeoutMs} ms`);
      done({ code: ExportResultCode.FAILED });
    }, timeoutMs).unref();
    exporter.export(items, (result) => {
      clearTimeout(late);
      if (result.code === ExportResultCode.SUCCESS) health.worked();
      else if (!isLate) failed(describeFailure(result.error));
      if (!isLate) done(result);
    });
  };
}

/** An error code of 100 or more is an HTTP status; below that it is a gRPC status, for which the message is shown. */
function describeFailure(error: (Error & { readonly code?: unknown }) | undefined): string {
  const { code, message } = error ?? {};
  const isHttpStatus = typeof code === "number" && code >= 100;
  const detail = isHttpStatus ? `the collector answered ${code}` : message;
  return (detail ?? "the collector rejected the data").slice(0, MAX_DETAIL_CHARS);
}

let resource: Resource | undefined;

/**
 * Returns the attributes of the sender, the same for metrics and traces: the relay, its host, and an ID of this process, without
 * which a collector would mix up the counts of two relays on one host. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME override
 * them.
 */
export function otlpResource(version: string): Resource {
  resource ??= resourceFromAttributes({
    "service.name": "statsig-forward-proxy",
    "service.version": version,
    "host.name": hostname(),
  }).merge(
    detectResources({
      detectors: [serviceInstanceIdDetector, resourceAttributesEnvDetector, serviceNameEnvDetector],
    }),
  );
  return resource;
}
