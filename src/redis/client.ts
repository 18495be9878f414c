import "./ioredis-patches.ts";
import { readFileSync } from "node:fs";
import { Cluster, type CommonRedisOptions, Redis } from "ioredis";
import type { RedisAddress, RedisHost, RedisOptions, RedisTls } from "./options.ts";

export type RedisClient = Redis | Cluster;

/**
 * `commands`: small ones, each of which is answered or has failed within the command timeout.
 * `bulk`: large values, which take as long as bytes move.
 */
export type LinkKind = "commands" | "bulk";

interface ClientBehavior {
  /** `bulk` has no time limit but for connecting: the caller watches its progress. */
  readonly kind: LinkKind;
  /** How long to wait before the next connect; null for none. */
  readonly retryDelayMs: () => number | null;
  /** Whether an error of Redis means that it should be looked for anew. */
  readonly reconnectsOn?: (error: Error) => boolean;
}

/** As CLIENT LIST shows them. */
const CONNECTION_NAMES: Readonly<Record<LinkKind, string>> = {
  commands: "statsig-forward-proxy",
  bulk: "statsig-forward-proxy-bulk",
};

/** Long enough for a goodbye; a Redis that hangs is left without one. */
const GOODBYE_MS = 200;
const MAX_SENTINEL_RETRY_MS = 1_000;

/** Starts connecting. Whoever opens it listens for "error". */
export function openClient(options: RedisOptions, behavior: ClientBehavior): RedisClient {
  const { address } = options;
  if (address.kind === "cluster") return openCluster(address.nodes, options, behavior);
  return openRedis(address, options, behavior);
}

/** Does not wait for the end of `retryDelayMs`. */
export function reconnectNow(client: RedisClient): void {
  if (client.status !== "reconnecting") return;
  // The library would forget this timer, and connect when it ends, also after a disconnect.
  const waiting = client as unknown as { reconnectTimeout: ReturnType<typeof setTimeout> | null };
  if (waiting.reconnectTimeout !== null) clearTimeout(waiting.reconnectTimeout);
  waiting.reconnectTimeout = null;
  client.connect().catch(() => undefined);
}

/** One connection to one Redis, for what only one can do. */
export function openRedis(
  address: Exclude<RedisAddress, { kind: "cluster" }>,
  options: RedisOptions,
  { kind, retryDelayMs, reconnectsOn }: ClientBehavior,
): Redis {
  const { connectTimeoutMs, commandTimeoutMs } = options;
  const common = {
    ...commonOptions(options, kind),
    retryStrategy: retryDelayMs,
    enableOfflineQueue: false,
    disconnectTimeout: GOODBYE_MS,
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
    // The library can't be told to end while it waits here.
    sentinelRetryStrategy: () => shortened(retryDelayMs()),
    sentinelCommandTimeout: Math.min(connectTimeoutMs, commandTimeoutMs),
    ...(common.tls !== undefined && { enableTLSForSentinelMode: true, sentinelTLS: common.tls }),
  });
}

const shortened = (ms: number | null) => (ms === null ? null : Math.min(ms, MAX_SENTINEL_RETRY_MS));

function openCluster(
  nodes: readonly RedisHost[],
  options: RedisOptions,
  { kind, retryDelayMs }: ClientBehavior,
): Cluster {
  return new Cluster(
    nodes.map(({ host, port }) => ({ host, port })),
    {
      clusterRetryStrategy: retryDelayMs,
      enableOfflineQueue: false,
      slotsRefreshTimeout: options.commandTimeoutMs,
      // No limit of time ends the tries for a large value to reach a node that can't be connected to.
      ...(kind === "bulk" && { retryDelayOnFailover: 0 }),
      // Names stay names until a socket is opened: certificates are checked against them.
      dnsLookup: (name, callback) => callback(null, name),
      redisOptions: commonOptions(options, kind),
    },
  );
}

/**
 * The library connects to a node with the first command for it, and rejects those that come while it does. Resolves when each
 * node is ready, or can't be.
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

function commonOptions(options: RedisOptions, kind: LinkKind) {
  const { user, password, tls, connectTimeoutMs, commandTimeoutMs } = options;
  return {
    // The older protocol asks for nothing that a proxy or a restricted user might lack.
    protocol: 2,
    connectTimeout: connectTimeoutMs,
    ...(kind === "commands" && {
      // Also for the handshake, which goes through no other limit.
      commandTimeout: commandTimeoutMs,
      // A connection over which nothing comes back is closed: the network may have forgotten it.
      socketTimeout: commandTimeoutMs,
    }),
    // A command fails with its connection, and is never sent twice.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // Its promise is left to nobody; subscribers do it themselves.
    autoResubscribe: false,
    disableClientInfo: true,
    connectionName: CONNECTION_NAMES[kind],
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
    ...(tls !== undefined && { tls: new TlsFiles(tls).live }),
  } satisfies CommonRedisOptions & { readonly tls?: object };
}

/** The PEM texts as they are at each connect; what can't be read any more stays as it was. */
class TlsFiles {
  readonly #paths: RedisTls;
  readonly #lastRead = new Map<string, string>();

  constructor(paths: RedisTls) {
    this.#paths = paths;
  }

  /** For the library, which looks at these at each connect. */
  get live(): { readonly ca?: string; readonly cert?: string; readonly key?: string } {
    const { caPath, certPath, keyPath } = this.#paths;
    const live = {};
    this.#define(live, "ca", caPath);
    this.#define(live, "cert", certPath);
    this.#define(live, "key", keyPath);
    return live;
  }

  #define(live: object, name: string, path: string | undefined): void {
    if (path !== undefined)
      Object.defineProperty(live, name, { enumerable: true, get: () => this.#read(path) });
  }

  #read(path: string): string | undefined {
    try {
      this.#lastRead.set(path, readFileSync(path, "utf8"));
    } catch {
      // An exception in the middle of a connect would end the connecting for good.
    }
    return this.#lastRead.get(path);
  }
}
