import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";

/** What OpenTelemetry's backends are told of who sends. */
export function relayResource(version: string): Resource {
  return resourceFromAttributes({ "service.name": "statsig-forward-proxy", "service.version": version });
}
