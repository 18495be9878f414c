/** Where a Redis, or one node of many, is found. */
export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

/** Which kind of Redis it is. */
export type RedisAddress =
  | {
      readonly kind: "single";
      readonly host: string;
      readonly port: number;
      /** The numbered database. */
      readonly db: number;
    }
  /** Sentinels, asked at each connect for the master that they know as `master`. */
  | { readonly kind: "sentinel"; readonly sentinels: readonly RedisHost[]; readonly master: string }
  /** Some nodes of a Cluster; the others are learned from them. */
  | { readonly kind: "cluster"; readonly nodes: readonly RedisHost[] };

/** PEM files, read again at each connect, so that renewed certificates need no restart. */
export interface RedisTls {
  /** Who may have signed the server's certificate, instead of the system's authorities. */
  readonly caPath?: string;
  /** What this relay shows of itself; both or none. */
  readonly certPath?: string;
  readonly keyPath?: string;
}

/**
 * How many connections large values go over. Commands are pipelined: one connection carries any number of them,
 * and one is usually enough. More help if a single connection can't use all of the network. Another one is opened
 * when all are busy, up to `max`, and stays open.
 */
export interface RedisPoolSize {
  /** Opened at the start; one is opened in any case. */
  readonly min: number;
  readonly max: number;
}

export interface RedisOptions {
  readonly address: RedisAddress;
  /** Without one, Redis's `default` user. */
  readonly user?: string;
  readonly password?: string;
  /** TLS to every node, Sentinels included; plain TCP without it. */
  readonly tls?: RedisTls;
  readonly pool: RedisPoolSize;
  /** For TCP and the TLS handshake together. */
  readonly connectTimeoutMs: number;
  /** Small commands are answered or have failed within this time; one with a large value, if nothing moves for so long. */
  readonly commandTimeoutMs: number;
  /** A connection whose next answer is longer is closed. */
  readonly maxReplyBytes: number;
}

export const DEFAULT_PORT = 6379;

/** Where Redis is, for people; without user and password. */
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
};
