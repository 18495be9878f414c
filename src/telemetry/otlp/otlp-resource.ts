import { hostname } from "node:os";
import {
  detectResources,
  type Resource,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from "@opentelemetry/resources";

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
