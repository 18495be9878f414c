import { readFileSync } from "node:fs";
import {
  DEFAULT_PORT,
  DEFAULT_REDIS_OPTIONS,
  type RedisAddress,
  type RedisHost,
  type RedisOptions,
  type RedisPoolSize,
  type RedisTls,
} from "./options.ts";

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
export function readRedisOptions(env: RedisEnvironment, reject: Reject): RedisOptions {
  const given = WAYS.flatMap((way) => way.find((name) => env[name]) ?? []);
  if (given.length > 1) reject(`${given.join(" and ")} are set, allowed is one of them`);
  const url = env["REDIS_URL"] ? readRedisUrl(env["REDIS_URL"], reject) : undefined;
  const tls = readTls(env, url?.tls, reject);
  return {
    ...DEFAULT_REDIS_OPTIONS,
    address: url?.address ?? readAddress(env, reject),
    ...readCredentials(env, url?.credentials, reject),
    ...(tls !== undefined && { tls }),
    pool: readPool(env, reject),
  };
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
  if (sentinels) reject("REDIS_SENTINELS is set without REDIS_SENTINEL_MASTER, the name of the master");
  if (master) reject("REDIS_SENTINEL_MASTER is set without REDIS_SENTINELS, a list of host:port");
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

function readCredentials(
  env: RedisEnvironment,
  inUrl: RedisCredentials | undefined,
  reject: Reject,
): RedisCredentials {
  const [user, password] = [env["REDIS_ENTERPRISE_USER"], env["REDIS_ENTERPRISE_PASSWORD"]];
  if (!user && !password) return inUrl ?? {};
  if (inUrl?.password !== undefined) {
    const name = user ? "REDIS_ENTERPRISE_USER" : "REDIS_ENTERPRISE_PASSWORD";
    reject(`${name} is set and REDIS_URL has a password, allowed is one of them`);
  }
  if (!password) {
    return reject("REDIS_ENTERPRISE_USER is set without REDIS_ENTERPRISE_PASSWORD, allowed is with it");
  }
  return { password, ...(user && { user }) };
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

/** A name, an IPv4 or an IPv6 address. */
const HOST_FORM = /^(?:[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?)$/;

/** `host`, `host:port` or `[IPv6]:port`. */
const HOST_AND_PORT_FORM = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/;

function readHost(name: string, text: string, reject: Reject): string {
  const host = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  return HOST_FORM.test(host)
    ? host
    : reject(`${name} is "${text}", allowed is a host name or an IP address`);
}

/** A comma list of hosts, each with a port or without. */
function readHosts(name: string, text: string, defaultPort: number, reject: Reject): readonly RedisHost[] {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== "");
  if (entries.length === 0) reject(`${name} names no host, allowed is a comma list of host:port`);
  return entries.map((entry) => readEntry(name, entry, defaultPort, reject));
}

function readEntry(name: string, entry: string, defaultPort: number, reject: Reject): RedisHost {
  const host = readHostAndPort(entry, defaultPort);
  if (host !== undefined) return host;
  // Up to the @ there may be a password.
  const shown = entry.slice(entry.lastIndexOf("@") + 1);
  return reject(`${name} has "${shown}", allowed is a comma list of host:port, without user or password`);
}

/** Undefined where the text is neither `host` nor `host:port`. */
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
  return reject(`${name} is "${text}", allowed is a whole number from ${min} to ${max}`);
}

const PATHS = {
  REDIS_TLS_CA_PATH: "caPath",
  REDIS_TLS_CERT_PATH: "certPath",
  REDIS_TLS_KEY_PATH: "keyPath",
} as const;

/** Undefined for no TLS. The files are read later; here only whether they can be. */
function readTls(env: RedisEnvironment, byUrl: boolean | undefined, reject: Reject): RedisTls | undefined {
  const on = readSwitch(env["REDIS_TLS"], reject);
  if (on === false && byUrl === true)
    reject("REDIS_TLS is false and REDIS_URL is rediss://, allowed is one of them");
  const given = Object.entries(PATHS).filter(([name]) => env[name]);
  if (on !== true && byUrl !== true) {
    const [name] = given[0] ?? [];
    if (name !== undefined)
      reject(`${name} is set and TLS is off, allowed is with REDIS_TLS=true or rediss://`);
    return undefined;
  }
  for (const [has, lacks] of [
    ["REDIS_TLS_CERT_PATH", "REDIS_TLS_KEY_PATH"],
    ["REDIS_TLS_KEY_PATH", "REDIS_TLS_CERT_PATH"],
  ] as const) {
    if (env[has] && !env[lacks]) reject(`${has} is set without ${lacks}, allowed are both or none`);
  }
  for (const [name] of given) refuseUnreadable(name, env[name] ?? "", reject);
  return Object.fromEntries(given.map(([name, path]) => [path, env[name]]));
}

function readSwitch(text: string | undefined, reject: Reject): boolean | undefined {
  if (!text) return undefined;
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  return reject(`REDIS_TLS is "${text}", allowed is true or false`);
}

function refuseUnreadable(name: string, path: string, reject: Reject): void {
  try {
    if (readFileSync(path, "utf8").includes("-----BEGIN ")) return;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === "ENOENT" ? "file is missing" : code === "EACCES" ? "no permission" : String(code);
    reject(`Cannot read ${name} "${path}": ${reason}`);
  }
  reject(`${name} is "${path}", allowed is a PEM file`);
}

interface RedisUrl {
  readonly address: Extract<RedisAddress, { kind: "single" }>;
  readonly credentials: RedisCredentials;
  readonly tls: boolean;
}

const MAX_DATABASE = 1_000_000;
const FORM = "redis://[[user]:password@]host[:port][/database], or rediss:// for TLS";

/** Nothing of the text is shown: in one that can't be read, nobody knows what is the password. */
function readRedisUrl(text: string, reject: Reject): RedisUrl {
  const [, scheme, authority = "", path = ""] = /^(rediss?):\/\/([^/?#]*)(?:\/(\d*))?$/i.exec(text) ?? [];
  if (scheme === undefined) {
    return reject(`REDIS_URL can't be read, allowed is ${FORM}; / ? # in a password as %2F %3F %23`);
  }
  const at = authority.lastIndexOf("@");
  return {
    tls: scheme.toLowerCase() === "rediss",
    credentials: at < 0 ? {} : readUserInfo(authority.slice(0, at), reject),
    address: readPlace(authority.slice(at + 1), path, reject),
  };
}

function readUserInfo(text: string, reject: Reject): RedisCredentials {
  const colon = text.indexOf(":");
  const user = decoded(colon < 0 ? text : text.slice(0, colon), reject);
  const password = colon < 0 ? "" : decoded(text.slice(colon + 1), reject);
  if (password === "") return reject(`REDIS_URL names a user without a password, allowed is ${FORM}`);
  return { password, ...(user !== "" && { user }) };
}

function decoded(text: string, reject: Reject): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return reject("REDIS_URL has a user or password with a % that encodes nothing, allowed for it is %25");
  }
}

function readPlace(text: string, path: string, reject: Reject): RedisUrl["address"] {
  const place = readHostAndPort(text, DEFAULT_PORT);
  if (place === undefined) return reject(`REDIS_URL has no usable host and port, allowed is ${FORM}`);
  const db = Number(path);
  if (db > MAX_DATABASE) reject(`REDIS_URL has no usable database, allowed is 0 to ${MAX_DATABASE}`);
  return { kind: "single", ...place, db };
}

/** The environment, given by whoever may read it. */
export type RedisEnvironment = Readonly<Record<string, string | undefined>>;

/** Given one line that names the variable, what was given (never a password) and what is allowed. */
type Reject = (problem: string) => never;

interface RedisCredentials {
  readonly user?: string;
  readonly password?: string;
}
