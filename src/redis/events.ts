import type { Feed } from "../specs/feed.ts";

/** What happens with Redis, for whoever watches. */
export type RedisEvent =
  /** It can't be used; told once until it can be again. */
  | { readonly kind: "redis_down"; readonly reason: string }
  /** It answers, but takes no writes: full, read-only, or the user may not; told once until it does again. */
  | { readonly kind: "redis_refuses_writes"; readonly reason: string }
  | { readonly kind: "redis_accepts_writes" }
  /** The Redis user lacks a permission (in the words of ACL SETUSER), and what that costs; reported once until it has it. */
  | { readonly kind: "redis_permission_missing"; readonly permission: string; readonly cost: string }
  | { readonly kind: "redis_permission_given"; readonly permission: string }
  /** It works again. */
  | { readonly kind: "redis_up"; readonly downForMs: number }
  | {
      readonly kind: "redis_wrote";
      readonly feed: Feed;
      readonly lcut: number;
      readonly bytes: number;
      readonly tookMs: number;
    }
  /** At least as new a version is there. */
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
  /** Nothing there, or nothing newer. */
  | { readonly kind: "redis_read_miss"; readonly feed: Feed }
  | { readonly kind: "redis_read_failed"; readonly feed: Feed; readonly reason: string }
  /** Something is there that can't be this feed's. */
  | { readonly kind: "redis_read_unusable"; readonly feed: Feed; readonly detail: string }
  | { readonly kind: "redis_deleted"; readonly feed: Feed }
  | { readonly kind: "redis_delete_failed"; readonly feed: Feed; readonly reason: string };

export type EmitRedisEvent = (event: RedisEvent) => void;
