import "./ioredis-patches.ts";
import { readFileSync } from "node:fs";
import { Cluster, type CommonRedisOptions, Redis } from "ioredis";
import type { RedisLogins } from "./auth/logins.ts";
import type { RedisAddress, RedisHost, RedisLogin, RedisOptions, RedisTls } from "./options.ts";

export type RedisClient = Redis | Cluster;

/**
 * `commands`: for small commands, which have a fixed time limit.
 * `bulk`: for commands with large values, which may take as long as data is transferred.
 */
export type LinkKind = "commands" | "bulk";

interface ClientBehavior {
  /** With `bulk` only connecting has a time limit: the caller watches the progress of commands. */
  readonly kind: LinkKind;
  readonly logins: RedisLogins;
  /** Returns the ms to wait before the next connect, or null to stop connecting. */
  readonly retryDelayMs: () => number | null;
  /** Whether to reconnect because of an error reply, which may find another Redis. */
  readonly reconnectsOn?: (error: Error) => boolean;
}

/** Shown by CLIENT LIST. */
const CONNECTION_NAMES: Readonly<Record<LinkKind, string>> = {
  commands: "statsig-forward-proxy",
  bulk: "statsig-forward-proxy-bulk",
};

/** Time limit for closing a connection cleanly. */
const DISCONNECT_LIMIT_MS = 200;
const MAX_SENTINEL_RETRY_MS = 1_000;

/** Starts connecting, unless there is nothing to log in with yet. The caller must listen for "error" events. */
export function openClient(options: RedisOptions, behavior: ClientBehavior): RedisClient {
  const { address } = options;
  if (address.kind === "cluster") return openCluster(address.nodes, options, behavior);
  return openRedis(address, options, behavior);
}

/** Connects at once instead of after `retryDelayMs`. */
export function reconnectNow(client: RedisClient): void {
  if (client.status !== "reconnecting") return;
  // The library would not clear this timer, and would connect when it fires, even after a disconnect.
  const waiting = client as unknown as { reconnectTimeout: ReturnType<typeof setTimeout> | null };
  if (waiting.reconnectTimeout !== null) clearTimeout(waiting.reconnectTimeout);
  waiting.reconnectTimeout = null;
  client.connect().catch(() => undefined);
}

/** Connects a client that was opened when there was nothing to log in with. */
export function connectFirst(client: RedisClient): void {
  if (client.status === "wait") client.connect().catch(() => undefined);
}

/**
 * Logs in again on all connections of a client that are ready, because the access token that they logged in with ends. A failure is
 * ignored: Redis closes the connection when its token ends, and the next one logs in with what is current then.
 */
export function logInAgain(client: RedisClient, { current }: RedisLogins): void {
  const connections = client instanceof Cluster ? client.nodes("all") : [client];
  for (const each of connections) if (each.status === "ready") authenticate(each, current);
}

function authenticate(connection: Redis, login: RedisLogin | undefined): void {
  const { user, password } = login ?? {};
  if (password === undefined) return;
  connection.call("AUTH", user === undefined ? [password] : [user, password]).catch(() => undefined);
}

/** Opens one connection to one Redis server, as {@link openClient} does. */
export function openRedis(
  address: Exclude<RedisAddress, { kind: "cluster" }>,
  options: RedisOptions,
  behavior: ClientBehavior,
): Redis {
  const client = createRedis(address, options, behavior);
  followLogins(client, behavior.logins);
  return client;
}

/** The library gets user and password at each connect, so that each connection logs in with what is current then. */
function followLogins(client: Redis, logins: RedisLogins): void {
  let used = logins.current;
  const take = () => {
    used = logins.current;
    return used;
  };
  Object.defineProperties(client.options, {
    username: { enumerable: true, get: () => take()?.user },
    password: { enumerable: true, get: () => take()?.password },
  });
  client.on("error", (error: Error) => {
    if (/WRONGPASS|invalid password/i.test(error.message)) logins.rejected(used);
  });
  client.on("ready", () => {
    // It was renewed while this connection was opened.
    if (used !== logins.current) authenticate(client, logins.current);
  });
}

function createRedis(
  address: Exclude<RedisAddress, { kind: "cluster" }>,
  options: RedisOptions,
  { kind, logins, retryDelayMs, reconnectsOn }: ClientBehavior,
): Redis {
  const { connectTimeoutMs, commandTimeoutMs } = options;
  const common = {
    ...commonOptions(options, kind, logins),
    lazyConnect: logins.current === undefined,
    retryStrategy: retryDelayMs,
    enableOfflineQueue: false,
    disconnectTimeout: DISCONNECT_LIMIT_MS,
    ...(reconnectsOn !== undefined && { reconnectOnError: reconnectsOn }),
  };
  if (address.kind === "single") {
    const { host, port, db } = address;
    return new Redis({ ...common, host, port, db });
  }
  return new Redis({
    ...common,
    sentinels: address.sentinels.map(({ host, port }) => ({ host, port })),
    name: address.master,
    // The library can't be disconnected while it waits here, so the wait is short.
    sentinelRetryStrategy: () => shorten(retryDelayMs()),
    sentinelCommandTimeout: Math.min(connectTimeoutMs, commandTimeoutMs),
    ...(common.tls !== undefined && { enableTLSForSentinelMode: true, sentinelTLS: common.tls }),
  });
}

const shorten = (ms: number | null) => (ms === null ? null : Math.min(ms, MAX_SENTINEL_RETRY_MS));

function openCluster(
  nodes: readonly RedisHost[],
  options: RedisOptions,
  { kind, logins, retryDelayMs }: ClientBehavior,
): Cluster {
  const cluster = new Cluster(
    nodes.map(({ host, port }) => ({ host, port })),
    {
      clusterRetryStrategy: retryDelayMs,
      enableOfflineQueue: false,
      slotsRefreshTimeout: options.commandTimeoutMs,
      // On bulk connections, no time limit would end the library's attempts to reach a node that is down.
      ...(kind === "bulk" && { retryDelayOnFailover: 0 }),
      // Host names are resolved only when a socket is opened, because certificates are checked against them.
      dnsLookup: (name, callback) => callback(null, name),
      redisOptions: commonOptions(options, kind, logins),
      lazyConnect: logins.current === undefined,
    },
  );
  cluster.on("+node", (node: Redis) => followLogins(node, logins));
  return cluster;
}

/**
 * Connects to all nodes of a Cluster; resolves when each is ready or has failed. Otherwise the library would connect to a node
 * with the first command for it, and reject the commands that arrive meanwhile.
 */
export async function connectNodes(client: RedisClient): Promise<void> {
  if (client instanceof Cluster) await Promise.all(client.nodes("all").map(connectNode));
}

async function connectNode(node: Redis): Promise<void> {
  if (node.status === "wait") return node.connect().catch(() => undefined);
  if (node.status === "ready") return;
  await new Promise<void>((resolve) => {
    for (const event of ["ready", "close", "end"]) node.once(event, () => resolve());
  });
}

function commonOptions(
  { tls, connectTimeoutMs, commandTimeoutMs }: RedisOptions,
  kind: LinkKind,
  { current }: RedisLogins,
) {
  const { user, password } = current ?? {};
  return {
    // RESP 3 needs HELLO, which a proxy may not support or a restricted user may not run.
    protocol: 2,
    connectTimeout: connectTimeoutMs,
    ...(kind === "commands" && {
      // Also limits the handshake, which has no other time limit.
      commandTimeout: commandTimeoutMs,
      // Closes a connection that receives nothing: the network may have dropped it silently.
      socketTimeout: commandTimeoutMs,
    }),
    // A command fails with its connection, and is never sent again.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // The library does not handle the rejection of its own resubscription. Subscribers resubscribe themselves.
    autoResubscribe: false,
    disableClientInfo: true,
    connectionName: CONNECTION_NAMES[kind],
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
    ...(tls !== undefined && { tls: new TlsFiles(tls).options }),
  } satisfies CommonRedisOptions & { readonly tls?: object };
}

/** Reads PEM files at each connect. A file that can't be read any more keeps its last content. */
class TlsFiles {
  readonly #paths: RedisTls;
  readonly #lastRead = new Map<string, string>();

  constructor(paths: RedisTls) {
    this.#paths = paths;
  }

  /** Options for the library with getters that read the files: it gets these properties at each connect. */
  get options(): { readonly ca?: string; readonly cert?: string; readonly key?: string } {
    const { caPath, certPath, keyPath } = this.#paths;
    const options = {};
    this.#define(options, "ca", caPath);
    this.#define(options, "cert", certPath);
    this.#define(options, "key", keyPath);
    return options;
  }

  #define(options: object, name: string, path: string | undefined): void {
    if (path !== undefined)
      Object.defineProperty(options, name, { enumerable: true, get: () => this.#read(path) });
  }

  #read(path: string): string | undefined {
    try {
      this.#lastRead.set(path, readFileSync(path, "utf8"));
    } catch {
      // The library would stop connecting for good if this threw in the middle of a connect.
    }
    return this.#lastRead.get(path);
  }
}
