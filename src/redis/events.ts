import type { Feed } from "../specs/feed.ts";

export type RedisEvent =
  /** Redis can't be used. Emitted when an outage begins, and when its reason changes. */
  | { readonly kind: "redis_down"; readonly reason: string }
  | { readonly kind: "redis_up"; readonly downForMs: number }
  /** The access token could not be renewed; the last one stays in use. Emitted for each failed request. */
  | { readonly kind: "redis_token_failed"; readonly reason: string }
  /** There is a new access token. `ignoredMarginMs`: the configured margin, if that is too long for the life of the token. */
  | {
      readonly kind: "redis_token_renewed";
      readonly lifeMs: number;
      readonly renewInMs: number;
      readonly ignoredMarginMs?: number;
    }
  /** Redis responds but rejects all writes: it is full or read-only. Emitted when that begins, and when the reason changes. */
  | { readonly kind: "redis_refuses_writes"; readonly reason: string }
  | { readonly kind: "redis_accepts_writes" }
  /** The Redis user lacks a permission, in the syntax of ACL SETUSER. Emitted once until `redis_permission_given`. */
  | { readonly kind: "redis_permission_missing"; readonly permission: string; readonly cost: string }
  | { readonly kind: "redis_permission_given"; readonly permission: string }
  | {
      readonly kind: "redis_wrote";
      readonly feed: Feed;
      readonly lcut: number;
      readonly bytes: number;
      readonly tookMs: number;
    }
  /** Redis has this version or a newer one. */
  | {
      readonly kind: "redis_write_skipped";
      readonly feed: Feed;
      readonly lcut: number;
      readonly keptLcut: number;
    }
  | {
      readonly kind: "redis_write_failed";
      readonly feed: Feed;
      readonly lcut: number;
      readonly reason: string;
    }
  | {
      readonly kind: "redis_read";
      readonly feed: Feed;
      readonly lcut: number;
      readonly bytes: number;
      readonly tookMs: number;
    }
  /** Redis has no version, or none that is newer. */
  | { readonly kind: "redis_read_miss"; readonly feed: Feed }
  | { readonly kind: "redis_read_failed"; readonly feed: Feed; readonly reason: string }
  /** The key has a value that is not a usable version of this feed. */
  | { readonly kind: "redis_read_unusable"; readonly feed: Feed; readonly detail: string }
  /** The expiry of an entry was extended. `isHeld` is false if Redis does not have this version under all names. */
  | { readonly kind: "redis_touched"; readonly feed: Feed; readonly isHeld: boolean }
  | { readonly kind: "redis_touch_failed"; readonly feed: Feed; readonly reason: string }
  | { readonly kind: "redis_deleted"; readonly feed: Feed }
  | { readonly kind: "redis_delete_failed"; readonly feed: Feed; readonly reason: string };

export type EmitRedisEvent = (event: RedisEvent) => void;
