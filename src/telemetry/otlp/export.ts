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
import type { SinkHealth } from "../push/channel.ts";

interface Exporter<T> {
  export(items: T, done: (result: ExportResult) => void): void;
}

interface WatchOptions<T> {
  readonly health: SinkHealth;
  /** An exporter that has not come to an end by then counts as failing, whatever comes of it. */
  readonly timeoutMs: number;
  /** How much is given up with a failure. */
  readonly lostWith: (items: T) => number;
}

const MAX_DETAIL = 200;

/** Exports as `exporter` does, and tells how it goes: OpenTelemetry's own logging is silent, and would be so each time. */
export function watchedExport<T>(exporter: Exporter<T>, options: WatchOptions<T>): Exporter<T>["export"] {
  const { health, timeoutMs, lostWith } = options;
  return (items, done) => {
    let isLate = false;
    const failed = (detail: string) => {
      health.dropped(lostWith(items));
      health.failed(detail);
    };
    const late = setTimeout(() => {
      isLate = true;
      failed(`no answer within ${timeoutMs} ms`);
      done({ code: ExportResultCode.FAILED });
    }, timeoutMs).unref();
    exporter.export(items, (result) => {
      clearTimeout(late);
      if (result.code === ExportResultCode.SUCCESS) health.worked();
      else if (!isLate) failed(describe(result.error));
      if (!isLate) done(result);
    });
  };
}

/** For people. An answer's status is in `code`, of HTTP or gRPC. */
function describe(error: (Error & { readonly code?: unknown }) | undefined): string {
  const status =
    typeof error?.code === "number" && error.code >= 100 ? `the collector answered ${error.code}` : "";
  return (status || (error?.message ?? "the collector does not take them")).slice(0, MAX_DETAIL);
}

let resource: Resource | undefined;

/**
 * Who sends, the same for metrics and traces: the relay, its host, and an id of this process, without which the counts
 * of two relays on one host would be taken for one. What the environment says goes before.
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
