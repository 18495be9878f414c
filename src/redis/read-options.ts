import { readFileSync } from "node:fs";
import { describeErrno } from "../platform/errors.ts";
import { readLogin } from "./auth/read-login.ts";
import { isClusterPrefix, parseKeyPrefix } from "./keys.ts";
import {
  DEFAULT_PORT,
  DEFAULT_REDIS_OPTIONS,
  type RedisAddress,
  type RedisEnvironment,
  type RedisHost,
  type RedisLogin,
  type RedisOptions,
  type RedisPoolSize,
  type RedisTls,
  type Reject,
} from "./options.ts";

/** Groups of variables that each say where Redis is. Only one group may be set. */
const ADDRESS_SOURCES = [
  ["REDIS_ENTERPRISE_HOST", "REDIS_ENTERPRISE_PORT"],
  ["REDIS_URL"],
  ["REDIS_SENTINELS", "REDIS_SENTINEL_MASTER"],
  ["REDIS_CLUSTER_NODES"],
] as const;

const SENTINEL_PORT = 26_379;

/** The original proxy reads an unsigned number of 32 bits. Connections are only opened when all others are busy. */
const MAX_CONNECTIONS = 2 ** 32 - 1;

/** Reads the variables that say how to reach Redis. An empty variable counts as unset. */
export function readRedisOptions(env: RedisEnvironment, reject: Reject): RedisOptions {
  const given = ADDRESS_SOURCES.flatMap((names) => names.find((name) => env[name]) ?? []);
  if (given.length > 1) reject(`${given.join(" and ")} are set (expected only one of them)`);
  const url = env["REDIS_URL"] ? readRedisUrl(env["REDIS_URL"], reject) : undefined;
  const tls = readTls(env, url?.tls, reject);
  return {
    ...DEFAULT_REDIS_OPTIONS,
    address: url?.address ?? readAddress(env, reject),
    ...readLogin(env, { inUrl: url?.login, hasTls: tls !== undefined }, reject),
    ...(tls !== undefined && { tls }),
    pool: readPool(env, reject),
    keyPrefix: readKeyPrefix(env, reject),
  };
}

function readKeyPrefix(env: RedisEnvironment, reject: Reject): string {
  const prefix = parseKeyPrefix(env["REDIS_KEY_PREFIX"] ?? "");
  if (env["REDIS_CLUSTER_NODES"] && !isClusterPrefix(prefix)) {
    reject(
      `invalid value "${prefix}" for REDIS_KEY_PREFIX (expected no { on a Cluster, or a whole hash tag such as {sfp})`,
    );
  }
  return prefix;
}

function readAddress(env: RedisEnvironment, reject: Reject): RedisAddress {
  const cluster = env["REDIS_CLUSTER_NODES"];
  if (cluster)
    return { kind: "cluster", nodes: readHosts("REDIS_CLUSTER_NODES", cluster, DEFAULT_PORT, reject) };
  const [sentinels, master] = [env["REDIS_SENTINELS"], env["REDIS_SENTINEL_MASTER"]];
  if (sentinels && master) {
    const hosts = readHosts("REDIS_SENTINELS", sentinels, SENTINEL_PORT, reject);
    return { kind: "sentinel", sentinels: hosts, master };
  }
  if (sentinels)
    reject("REDIS_SENTINELS is set without REDIS_SENTINEL_MASTER (expected the name of the master)");
  if (master)
    reject(
      "REDIS_SENTINEL_MASTER is set without REDIS_SENTINELS (expected a comma-separated list of host:port)",
    );
  return {
    kind: "single",
    host: readHost("REDIS_ENTERPRISE_HOST", env["REDIS_ENTERPRISE_HOST"] || "127.0.0.1", reject),
    port: readWholeNumber(
      "REDIS_ENTERPRISE_PORT",
      env["REDIS_ENTERPRISE_PORT"] || String(DEFAULT_PORT),
      [1, 65_535],
      reject,
    ),
    db: 0,
  };
}

function readPool(env: RedisEnvironment, reject: Reject): RedisPoolSize {
  const [givenMin, givenMax] = [env["REDIS_CONNECTION_POOL_MIN_SIZE"], env["REDIS_CONNECTION_POOL_MAX_SIZE"]];
  const max = givenMax
    ? readWholeNumber("REDIS_CONNECTION_POOL_MAX_SIZE", givenMax, [1, MAX_CONNECTIONS], reject)
    : undefined;
  const min = givenMin
    ? readWholeNumber("REDIS_CONNECTION_POOL_MIN_SIZE", givenMin, [0, max ?? MAX_CONNECTIONS], reject)
    : DEFAULT_REDIS_OPTIONS.pool.min;
  return { min, max: max ?? Math.max(DEFAULT_REDIS_OPTIONS.pool.max, min) };
}

/** A host name, an IPv4 or an IPv6 address. */
const HOST_FORM = /^(?:[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?)$/;

/** `host`, `host:port` or `[IPv6]:port`. */
const HOST_AND_PORT_FORM = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/;

function readHost(name: string, text: string, reject: Reject): string {
  const host = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  return HOST_FORM.test(host)
    ? host
    : reject(`invalid value "${text}" for ${name} (expected a host name or an IP address)`);
}

/** Parses a comma-separated list of hosts with optional ports. */
function readHosts(name: string, text: string, defaultPort: number, reject: Reject): readonly RedisHost[] {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== "");
  if (entries.length === 0) reject(`${name} contains no host (expected a comma-separated list of host:port)`);
  return entries.map((entry) => readHostEntry(name, entry, defaultPort, reject));
}

function readHostEntry(name: string, entry: string, defaultPort: number, reject: Reject): RedisHost {
  const host = readHostAndPort(entry, defaultPort);
  if (host !== undefined) return host;
  // Before the @ there may be a password.
  const shown = entry.slice(entry.lastIndexOf("@") + 1);
  return reject(
    `invalid host "${shown}" in ${name} (expected a comma-separated list of host:port, without user or password)`,
  );
}

/** Returns undefined if the text is neither `host` nor `host:port`. */
function readHostAndPort(text: string, defaultPort: number): RedisHost | undefined {
  const [, v6, plain, portText] = HOST_AND_PORT_FORM.exec(text) ?? [];
  const host = v6 ?? plain ?? "";
  const port = portText === undefined ? defaultPort : Number(portText);
  return HOST_FORM.test(host) && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

function readWholeNumber(
  name: string,
  text: string,
  [min, max]: readonly [number, number],
  reject: Reject,
): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  return reject(`invalid value "${text}" for ${name} (expected a whole number from ${min} to ${max})`);
}

const PATHS = {
  REDIS_TLS_CA_PATH: "caPath",
  REDIS_TLS_CERT_PATH: "certPath",
  REDIS_TLS_KEY_PATH: "keyPath",
} as const;

/** Returns undefined for no TLS. Only checks that the files can be read: their content is read at each connect. */
function readTls(env: RedisEnvironment, byUrl: boolean | undefined, reject: Reject): RedisTls | undefined {
  const on = readSwitch(env["REDIS_TLS"], reject);
  if (on === false && byUrl === true)
    reject("REDIS_TLS is false and REDIS_URL is rediss:// (expected only one of them)");
  const given = Object.entries(PATHS).filter(([name]) => env[name]);
  if (on !== true && byUrl !== true) {
    const [name] = given[0] ?? [];
    if (name !== undefined) reject(`${name} is set and TLS is off (expected REDIS_TLS=true or rediss://)`);
    return undefined;
  }
  for (const [has, lacks] of [
    ["REDIS_TLS_CERT_PATH", "REDIS_TLS_KEY_PATH"],
    ["REDIS_TLS_KEY_PATH", "REDIS_TLS_CERT_PATH"],
  ] as const) {
    if (env[has] && !env[lacks]) reject(`${has} is set without ${lacks} (expected both or neither)`);
  }
  for (const [name] of given) checkReadable(name, env[name] ?? "", reject);
  return Object.fromEntries(given.map(([name, path]) => [path, env[name]]));
}

function readSwitch(text: string | undefined, reject: Reject): boolean | undefined {
  if (!text) return undefined;
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  return reject(`invalid value "${text}" for REDIS_TLS (expected true or false)`);
}

function checkReadable(name: string, path: string, reject: Reject): void {
  try {
    if (readFileSync(path, "utf8").includes("-----BEGIN ")) return;
  } catch (error) {
    reject(`can't read ${name} "${path}": ${describeErrno(error)}`);
  }
  reject(`invalid value "${path}" for ${name} (expected a PEM file)`);
}

interface RedisUrl {
  readonly address: Extract<RedisAddress, { kind: "single" }>;
  readonly login: RedisLogin;
  readonly tls: boolean;
}

const MAX_DATABASE = 1_000_000;
/** Without an @ after the scheme, so that errors about it are not taken for URLs with a password. */
const FORM =
  "redis://host:port/database, with user:password@ before the host if Redis needs a login, or rediss:// for TLS";

/** Errors never quote the URL: in a malformed one, any part may be the password. */
function readRedisUrl(text: string, reject: Reject): RedisUrl {
  const [, scheme, authority = "", path = ""] = /^(rediss?):\/\/([^/?#]*)(?:\/(\d*))?$/i.exec(text) ?? [];
  if (scheme === undefined) {
    return reject(`REDIS_URL is malformed (expected ${FORM}; ${hintFor(text)})`);
  }
  const at = authority.lastIndexOf("@");
  return {
    tls: scheme.toLowerCase() === "rediss",
    login: at < 0 ? {} : readUserInfo(authority.slice(0, at), reject),
    address: readUrlAddress(authority.slice(at + 1), path, reject),
  };
}

function hintFor(text: string): string {
  // Without an @, there is no password that the hint could show.
  if (readHostAndPort(text, DEFAULT_PORT) !== undefined) return `did you mean redis://${text}?`;
  return /^["'\u2018-\u201f]/.test(text) ? "remove the quotes" : "write / ? # in a password as %2F %3F %23";
}

function readUserInfo(text: string, reject: Reject): RedisLogin {
  const colon = text.indexOf(":");
  const user = decodePart(colon < 0 ? text : text.slice(0, colon), reject);
  const password = colon < 0 ? "" : decodePart(text.slice(colon + 1), reject);
  if (password === "") return reject(`REDIS_URL contains a user without a password (expected ${FORM})`);
  return { password, ...(user !== "" && { user }) };
}

function decodePart(text: string, reject: Reject): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return reject("REDIS_URL contains a user or password with an invalid % escape (expected %25 for a %)");
  }
}

function readUrlAddress(text: string, path: string, reject: Reject): RedisUrl["address"] {
  const host = readHostAndPort(text, DEFAULT_PORT);
  if (host === undefined) return reject(`REDIS_URL contains no valid host and port (expected ${FORM})`);
  const db = Number(path);
  if (db > MAX_DATABASE) reject(`REDIS_URL contains an invalid database (expected 0 to ${MAX_DATABASE})`);
  return { kind: "single", ...host, db };
}
