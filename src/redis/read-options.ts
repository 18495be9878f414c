import type { RedisCredentials, RedisEnvironment, Refuse } from "./environment.ts";
import {
  DEFAULT_PORT,
  DEFAULT_REDIS_OPTIONS,
  type RedisAddress,
  type RedisOptions,
  type RedisPoolSize,
} from "./options.ts";
import { readHost, readHosts, readWholeNumber } from "./read-hosts.ts";
import { readTls } from "./read-tls.ts";
import { readRedisUrl } from "./read-url.ts";

/** Ways to say where Redis is, by the variables that belong to each. */
const WAYS = [
  ["REDIS_ENTERPRISE_HOST", "REDIS_ENTERPRISE_PORT"],
  ["REDIS_URL"],
  ["REDIS_SENTINELS", "REDIS_SENTINEL_MASTER"],
  ["REDIS_CLUSTER_NODES"],
] as const;

const SENTINEL_PORT = 26_379;
const MAX_CONNECTIONS = 64;

/** How to reach Redis. An empty variable counts as none. */
export function readRedisOptions(env: RedisEnvironment, refuse: Refuse): RedisOptions {
  const given = WAYS.flatMap((way) => way.find((name) => env[name]) ?? []);
  if (given.length > 1) refuse(`${given.join(" and ")} are set, allowed is one of them`);
  const url = env["REDIS_URL"] ? readRedisUrl(env["REDIS_URL"], refuse) : undefined;
  const tls = readTls(env, url?.tls, refuse);
  return {
    ...DEFAULT_REDIS_OPTIONS,
    address: url?.address ?? readAddress(env, refuse),
    ...readCredentials(env, url?.credentials, refuse),
    ...(tls !== undefined && { tls }),
    pool: readPool(env, refuse),
  };
}

function readAddress(env: RedisEnvironment, refuse: Refuse): RedisAddress {
  const cluster = env["REDIS_CLUSTER_NODES"];
  if (cluster)
    return { kind: "cluster", nodes: readHosts("REDIS_CLUSTER_NODES", cluster, DEFAULT_PORT, refuse) };
  const [sentinels, master] = [env["REDIS_SENTINELS"], env["REDIS_SENTINEL_MASTER"]];
  if (sentinels && master) {
    const hosts = readHosts("REDIS_SENTINELS", sentinels, SENTINEL_PORT, refuse);
    return { kind: "sentinel", sentinels: hosts, master };
  }
  if (sentinels) refuse("REDIS_SENTINELS is set without REDIS_SENTINEL_MASTER, the name of the master");
  if (master) refuse("REDIS_SENTINEL_MASTER is set without REDIS_SENTINELS, a list of host:port");
  return {
    kind: "single",
    host: readHost("REDIS_ENTERPRISE_HOST", env["REDIS_ENTERPRISE_HOST"] || "127.0.0.1", refuse),
    port: readWholeNumber(
      "REDIS_ENTERPRISE_PORT",
      env["REDIS_ENTERPRISE_PORT"] || String(DEFAULT_PORT),
      [1, 65_535],
      refuse,
    ),
    db: 0,
  };
}

function readCredentials(
  env: RedisEnvironment,
  inUrl: RedisCredentials | undefined,
  refuse: Refuse,
): RedisCredentials {
  const [user, password] = [env["REDIS_ENTERPRISE_USER"], env["REDIS_ENTERPRISE_PASSWORD"]];
  if (!user && !password) return inUrl ?? {};
  if (inUrl?.password !== undefined) {
    const name = user ? "REDIS_ENTERPRISE_USER" : "REDIS_ENTERPRISE_PASSWORD";
    refuse(`${name} is set and REDIS_URL has a password, allowed is one of them`);
  }
  if (!password) {
    return refuse("REDIS_ENTERPRISE_USER is set without REDIS_ENTERPRISE_PASSWORD, allowed is with it");
  }
  return { password, ...(user && { user }) };
}

function readPool(env: RedisEnvironment, refuse: Refuse): RedisPoolSize {
  const [givenMin, givenMax] = [env["REDIS_CONNECTION_POOL_MIN_SIZE"], env["REDIS_CONNECTION_POOL_MAX_SIZE"]];
  const max = givenMax
    ? readWholeNumber("REDIS_CONNECTION_POOL_MAX_SIZE", givenMax, [1, MAX_CONNECTIONS], refuse)
    : undefined;
  const min = givenMin
    ? readWholeNumber("REDIS_CONNECTION_POOL_MIN_SIZE", givenMin, [0, max ?? MAX_CONNECTIONS], refuse)
    : DEFAULT_REDIS_OPTIONS.pool.min;
  return { min, max: max ?? Math.max(DEFAULT_REDIS_OPTIONS.pool.max, min) };
}
