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
  /** An export that takes longer counts as failed, whatever its result. */
  readonly timeoutMs: number;
  /** The number of measurements or spans that a failed export loses. */
  readonly lostWith: (items: T) => number;
}

const MAX_DETAIL = 200;

/** Wraps `exporter.export` and reports its results to `health`. OpenTelemetry itself does not log failures. */
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
      failed(`no response within ${timeoutMs} ms`);
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

/** `code` holds the status of the response, of HTTP or gRPC. */
function describe(error: (Error & { readonly code?: unknown }) | undefined): string {
  const status =
    typeof error?.code === "number" && error.code >= 100 ? `the collector answered ${error.code}` : "";
  return (status || (error?.message ?? "the collector rejected them")).slice(0, MAX_DETAIL);
}

let resource: Resource | undefined;

/**
 * Returns the resource of metrics and traces: the relay, its host, and an ID of this process, which distinguishes the counts of
 * two relays on one host. Attributes from the environment override these.
 */
export function createOtlpResource(version: string): Resource {
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
