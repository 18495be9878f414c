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
import { describeErrno } from "../../platform/errors.ts";
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

const NOT_HTTP = "the response is not HTTP";
const NOT_TRUSTED = "the collector's certificate is not trusted";

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
      else if (!isLate) failed(describeExportFailure(result.error));
      if (!isLate) done(result);
    });
  };
}

/** Codes of Node's sockets, HTTP parser and TLS. */
const EXPORT_ERRORS: Readonly<Record<string, string>> = {
  HPE_INVALID_CONSTANT: NOT_HTTP,
  HPE_INVALID_VERSION: NOT_HTTP,
  ECONNRESET: "the collector closed the connection",
  ERR_SSL_WRONG_VERSION_NUMBER: "the collector does not use TLS on this port",
  DEPTH_ZERO_SELF_SIGNED_CERT: NOT_TRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_TRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_TRUSTED,
  CERT_HAS_EXPIRED: "the collector's certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "the collector's certificate is for another host name",
};

/** The wrapping of a failure to connect, by the gRPC library. */
const GRPC_CONNECT =
  /^\d+ UNAVAILABLE: No connection established\. Last error: (?:\w*Error: )?(.*?)(?: \(\d{4}-.*)?$/;

/**
 * Says in words why an export failed. A code of 100 or more is an HTTP status; below that it is a gRPC status, whose message says more.
 * The code of a system error is found in the message of the gRPC library.
 */
export function describeExportFailure(error: (Error & { readonly code?: unknown }) | undefined): string {
  const { code, message = "the collector rejected the data" } = error ?? {};
  if (typeof code === "number" && code >= 100) return `the collector answered ${code}`;
  if (typeof code === "string") return describeErrno({ code }, EXPORT_ERRORS);
  const [, reason = message] = GRPC_CONNECT.exec(message.replace(/\. Resolution note:\s*$/, "")) ?? [];
  if (reason.includes("TLS ServerName to an IP address"))
    return "gRPC over TLS needs a host name in the endpoint, not an IP address";
  const [found = ""] = /\bE[A-Z]{4,}\b/.exec(reason) ?? [];
  const text = found === "" ? reason : describeErrno({ code: found }, EXPORT_ERRORS);
  return text.slice(0, MAX_DETAIL_CHARS);
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
