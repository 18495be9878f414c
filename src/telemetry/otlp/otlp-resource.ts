import { hostname } from "node:os";
import {
  detectResources,
  type Resource,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from "@opentelemetry/resources";
import { relayResource } from "../resource.ts";

let resource: Resource | undefined;

/**
 * Who sends, the same for metrics and traces: the relay, its host, and an id of this process, without which the counts
 * of two relays on one host would be taken for one. What the environment says goes before.
 */
export function otlpResource(version: string): Resource {
  resource ??= relayResource(version)
    .merge(resourceFromAttributes({ "host.name": hostname() }))
    .merge(
      detectResources({
        detectors: [serviceInstanceIdDetector, resourceAttributesEnvDetector, serviceNameEnvDetector],
      }),
    );
  return resource;
}
