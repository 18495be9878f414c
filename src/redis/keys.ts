import { hash } from "node:crypto";
import { type Feed, feedDigest } from "../specs/feed.ts";

/** Naming schemes of keys, by the version of the original relay that introduced them (docs/protocol.md, Redis keys). */
export const REDIS_KEY_SCHEMAS = ["v1", "v3", "v4"] as const;
export type RedisKeySchema = (typeof REDIS_KEY_SCHEMAS)[number];

/** The encoding of the field `config`, which is a part of the key. */
type RedisEncoding = "plain_text" | "statsig-br";

/** How many characters of the SDK key a v4 name contains. */
export const V4_KEY_CHARS = 20;

const OWN_NAMES = "statsig_forward_proxy::";

/** A Redis key and the schema that it is named by. */
export interface NamedKey {
  readonly schema: RedisKeySchema;
  readonly name: string;
}

/** The names of everything in Redis. All begin with the prefix, so that several deployments can share a Redis. */
export class RedisKeys {
  /** Begins the names of config specs. */
  readonly ofEntries: string;
  /** Begins the names of all other keys, and of the channel. */
  readonly ofRelays: string;
  /** Contains the ID of the only original relay that writes. */
  readonly leader: string;
  /** Written only to find out whether Redis accepts writes. */
  readonly writeProbe: string;
  readonly versionsChannel: string;
  /** A hash, whose field `pins` has the pins of all SDK keys. */
  readonly pins: string;
  readonly #prefix: string;

  /** `prefix`: as {@link parseKeyPrefix} returns it. */
  constructor(prefix: string) {
    this.#prefix = prefix;
    this.ofEntries = `${prefix}statsig`;
    this.ofRelays = `${prefix}${OWN_NAMES}`;
    this.leader = `${this.ofRelays}leader`;
    this.writeProbe = `${this.ofRelays}write_probe`;
    this.versionsChannel = `${this.ofRelays}versions`;
    this.pins = `${this.ofRelays}pins`;
  }

  /**
   * Returns the keys of a feed in the order of `schemas`. A v1 name has no path and no encoding, so it exists for the v1 JSON feed
   * only. A feed without a name in any of `schemas` gets its v3 name.
   */
  entries(feed: Feed, schemas: readonly RedisKeySchema[]): [NamedKey, ...NamedKey[]] {
    const keys = schemas.flatMap((schema) => this.#entry(feed, schema) ?? []);
    const [first, ...others] = keys;
    return first === undefined ? [this.#pathEntry(feed, "v3")] : [first, ...others];
  }

  #entry(feed: Feed, schema: RedisKeySchema): NamedKey | undefined {
    if (schema !== "v1") return this.#pathEntry(feed, schema);
    if (feed.version !== "v1" || feed.format !== "json") return undefined;
    return { schema, name: `${this.#prefix}statsig::${hash("sha256", feed.sdkKey, "hex")}` };
  }

  #pathEntry(feed: Feed, schema: "v3" | "v4"): NamedKey {
    const path = `/${feed.version}/download_config_specs|${toEncoding(feed)}`;
    return { schema, name: `${this.#prefix}statsig|${path}|${toOwner(feed, schema)}` };
  }

  /** Returns the key of the manifest of ID lists of a feed's SDK key. */
  manifest(feed: Feed, schema: "v3" | "v4"): NamedKey {
    return { schema, name: `${this.#prefix}statsig|/v1/get_id_lists|plain_text|${toOwner(feed, schema)}` };
  }

  /** Returns the key of the fleet's last confirmation of a feed. In the same slot of a Cluster as {@link claim}. */
  confirmed(feedId: string): string {
    return `${this.ofRelays}confirmed::{${feedId}}`;
  }

  /** Returns the key of the claim of the relay that fetches a feed from upstream for the fleet. */
  claim(feedId: string): string {
    return `${this.ofRelays}claim::{${feedId}}`;
  }

  /** The hash of the relays that use this Redis. */
  get relays(): string {
    return `${this.ofRelays}relays`;
  }

  /** Returns the key of the note that a relay removed a feed because upstream rejects its SDK key. */
  removal(feed: Feed): string {
    return `${this.ofRelays}removed::${redisFeedId(feed)}`;
  }

  /** Returns a key for `doctor` to try commands on, which no relay uses. */
  doctor(id: string): string {
    return `${this.ofRelays}doctor::${id}`;
  }
}

/** Parses `REDIS_KEY_PREFIX` as the original relay does: a colon ends the prefix, whether or not it was written. */
export function parseKeyPrefix(text: string): string {
  const prefix = text.trim();
  return prefix === "" || prefix.endsWith(":") ? prefix : `${prefix}:`;
}

/**
 * Returns whether keys with this prefix can be used on a Cluster. A Cluster hashes what is between the first `{` and the next `}`:
 * keys that scripts use together must have that in common, so a brace in the prefix must be part of a whole hash tag.
 */
export const isClusterPrefix = (prefix: string): boolean => /^[^{]*(?:\{[^}]+\}.*)?$/.test(prefix);

function toOwner(feed: Feed, schema: "v3" | "v4"): string {
  return schema === "v3" ? sdkKeyDigest(feed) : feed.sdkKey.slice(0, V4_KEY_CHARS);
}

export function toEncoding({ format }: Pick<Feed, "format">): RedisEncoding {
  return format === "proto" ? "statsig-br" : "plain_text";
}

/** Returns a digest of the whole SDK key. It is stored with a config to identify its owner. */
export function sdkKeyDigest(feed: Feed): string {
  return hash("sha256", feed.sdkKey, "base64");
}

/** Returns the id of a feed in keys and messages that other relays see. It does not reveal the SDK key. */
export function redisFeedId(feed: Feed): string {
  return feedDigest(feed, "base64url");
}
