import { isIP } from "node:net";
import { maxSocketPathBytes } from "./libc/systems.ts";
import { readWhole } from "./read-whole.ts";
import { ConfigError, type Environment, type Settings } from "./settings.ts";
import type { StatsdOptions, StatsdPlace } from "./telemetry/sinks/statsd-options.ts";

export interface StatsdConfig extends StatsdOptions {
  /** `DATADOG_SENDER_BUFFER_SIZE`: in the place of `EVENT_CHANNEL_SIZE`. */
  readonly channelSize: number;
}

/** What a UDP datagram can hold. */
const MAX_DATAGRAM_BYTES = 65_507;

/** Undefined where neither is wanted. Throws ConfigError. */
export function readStatsd(
  settings: Settings,
  env: Environment,
  channelSize: number,
): StatsdConfig | undefined {
  const toDatadog = settings.flag("datadog-logging");
  if (!toDatadog && !settings.flag("statsd-logging")) return undefined;
  return {
    // Both have one address: sent twice, everything would count twice.
    sink: toDatadog ? "datadog" : "statsd",
    place: readPlace(env),
    tags: readTags(env),
    channelSize: readWhole(env, "DATADOG_SENDER_BUFFER_SIZE", { otherwise: channelSize, min: 1 }),
    maxLinesAtOnce: readWhole(env, "DATADOG_MAX_BATCH_EVENT_COUNT", {
      otherwise: 3_000,
      min: 1,
      max: 100_000,
    }),
    maxDatagramBytes: readWhole(env, "DOGSTATSD_MAX_BUFFER_SIZE", {
      otherwise: 8_000,
      min: 512,
      max: MAX_DATAGRAM_BYTES,
    }),
    flushIntervalMs: readWhole(env, "DOGSTATSD_MAX_TIME_MS", { otherwise: 30_000, min: 1 }),
    maxRetries: readWhole(env, "DOGSTATSD_MAX_RETRY_ATTEMPT", { otherwise: 3, min: 0, max: 20 }),
    retryDelayMs: readWhole(env, "DOGSTATSD_INITIAL_RETRY_DELAY", { otherwise: 10, min: 0, max: 60_000 }),
  };
}

function readPlace(env: Environment): StatsdPlace {
  const path = env["STATSD_SOCKET"];
  if (path) return { kind: "unix", path: checkedPath(path) };
  const host = env["STATSD_HOST_OVERRIDE"] || "127.0.0.1";
  if (isIP(host) === 0 && !/^[\w.-]+$/.test(host))
    throw new ConfigError(`STATSD_HOST_OVERRIDE is "${host}", allowed is a host name or an IP address`);
  return {
    kind: "udp",
    host,
    port: readWhole(env, "STATSD_PORT_OVERRIDE", { otherwise: 8125, min: 1, max: 65_535 }),
  };
}

function checkedPath(path: string): string {
  const max = maxSocketPathBytes(process.platform);
  if (Buffer.byteLength(path) <= max && !/^\w+:\/\//.test(path)) return path;
  const allowed =
    max === 0 ? "nothing on this system" : `the path of a datagram socket, at most ${max} bytes`;
  throw new ConfigError(`STATSD_SOCKET is "${path}", allowed is ${allowed}`);
}

function readTags(env: Environment): Readonly<Record<string, string>> {
  const tags = {
    version: env["DD_VERSION"],
    env: env["DD_ENV"],
    service: env["DD_SERVICE"],
    pod_name: env["HOSTNAME"] || "localhost",
  };
  return Object.fromEntries(Object.entries(tags).flatMap(([tag, value]) => (value ? [[tag, value]] : [])));
}
