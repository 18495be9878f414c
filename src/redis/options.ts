/** The environment, passed in by the caller. */
export type RedisEnvironment = Readonly<Record<string, string | undefined>>;

/** Throws an error with this line, which names the variable, its value (never a password) and what was expected. */
export type Reject = (problem: string) => never;

/** The address of a Redis server, Sentinel or Cluster node. */
export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

/** Where Redis is, by kind of deployment. */
export type RedisAddress =
  | {
      readonly kind: "single";
      readonly host: string;
      readonly port: number;
      /** The number of the database. */
      readonly db: number;
    }
  /** Sentinels, which are asked at each connect for the address of the master named `master`. */
  | { readonly kind: "sentinel"; readonly sentinels: readonly RedisHost[]; readonly master: string }
  /** Some nodes of a Cluster, which name the others. */
  | { readonly kind: "cluster"; readonly nodes: readonly RedisHost[] };

/** PEM files. They are read at each connect, so that renewed certificates need no restart. */
export interface RedisTls {
  /** Certificate authorities that replace the system's. */
  readonly caPath?: string;
  /** The client certificate and its key: both or neither. */
  readonly certPath?: string;
  readonly keyPath?: string;
}

/**
 * The number of connections for large values. One is usually enough, because commands are pipelined. More help if a single
 * connection can't use the whole bandwidth. Another connection is opened when all are busy, up to `max`, and stays open.
 */
export interface RedisPoolSize {
  /** Opened at the start; at least one is opened even if this is 0. */
  readonly min: number;
  readonly max: number;
}

/** What a connection logs in with. */
export interface RedisLogin {
  /** Redis's `default` user if undefined. */
  readonly user?: string;
  /** No login if undefined. May be empty, for a user without a password. */
  readonly password?: string;
}

/** An app registration in Microsoft Entra ID, whose access tokens are the password of Redis. */
export interface EntraOptions {
  /** Where tokens are requested, `https://login.microsoftonline.com` by default; without a slash at the end. */
  readonly authority: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly scope: string;
  /** The Redis user that the token belongs to; the `default` user if undefined. */
  readonly user?: string;
  /** Time before the end of a token's life at which the next one is requested, ms; a quarter of its life if undefined. */
  readonly refreshMarginMs?: number;
}

export interface RedisOptions extends RedisLogin {
  readonly address: RedisAddress;
  /** Other meanings of the variables for user and password, tried in turn while Redis rejects a login. */
  readonly otherLogins?: readonly RedisLogin[];
  /** Replaces user and password. */
  readonly entra?: EntraOptions;
  /** Applies to every node and Sentinel. Plain TCP if undefined. */
  readonly tls?: RedisTls;
  readonly pool: RedisPoolSize;
  /** Time limit for TCP connect and TLS handshake together. */
  readonly connectTimeoutMs: number;
  /** Time limit for small commands. Commands with large values fail if no data is transferred for this time. */
  readonly commandTimeoutMs: number;
  /** A connection that receives a longer reply is closed. */
  readonly maxReplyBytes: number;
  /** Begins the name of every key and channel. */
  readonly keyPrefix: string;
}

export const DEFAULT_PORT = 6379;

/** Returns the address for display, without user and password. */
export function describeAddress({ address }: RedisOptions): string {
  const hosts = (list: readonly RedisHost[]) => list.map(({ host, port }) => `${host}:${port}`).join(",");
  switch (address.kind) {
    case "single":
      return `${hosts([address])}/${address.db}`;
    case "sentinel":
      return `${address.master} of ${hosts(address.sentinels)}`;
    case "cluster":
      return `cluster ${hosts(address.nodes)}`;
  }
}

export const DEFAULT_REDIS_OPTIONS: RedisOptions = {
  address: { kind: "single", host: "127.0.0.1", port: DEFAULT_PORT, db: 0 },
  pool: { min: 1, max: 1 },
  connectTimeoutMs: 5_000,
  commandTimeoutMs: 3_000,
  maxReplyBytes: 72 * 1024 * 1024,
  keyPrefix: "",
};
