import type { DoubtfulVariable } from "./option.ts";
import type { Environment } from "./settings.ts";

/**
 * Kubernetes sets variables for each service of a namespace, by default in every pod: a service named `sfp-http` sets
 * `SFP_HTTP_PORT=tcp://10.0.0.1:8000`, which has the name of an option.
 */
const LINK = /^(?:tcp|udp|sctp):\/\/[^\s/]+:\d+$/i;

const LINK_NAME =
  /_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;

/** Returns whether a variable describes a service of Kubernetes, whatever the service is called. */
export function isServiceLink(name: string, value: string | undefined): boolean {
  return LINK_NAME.test(name) || (name.endsWith("_PORT") && LINK.test(value ?? ""));
}

const REASON =
  "it is a service link of Kubernetes, so it is ignored (set enableServiceLinks: false in the pod spec, or rename the service)";

/** Returns the variables with the name of a setting that hold a service link instead of its value. */
export function findServiceLinks(
  env: Environment,
  isSetting: (name: string) => boolean,
): readonly DoubtfulVariable[] {
  return Object.keys(env)
    .filter((name) => isSetting(name) && LINK.test(env[name] ?? ""))
    .map((variable) => ({ variable, reason: REASON }));
}
