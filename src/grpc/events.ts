import type { Feed } from "../specs/feed.ts";

/** What happens on streams. */
export type RpcEvent =
  | { readonly kind: "stream_opened"; readonly feed: Feed; readonly openStreams: number }
  | { readonly kind: "stream_sent"; readonly feed: Feed; readonly lcut: number }
  | { readonly kind: "stream_heartbeat"; readonly feed: Feed }
  | { readonly kind: "stream_closed"; readonly feed: Feed; readonly openStreams: number }
  | { readonly kind: "stream_refused"; readonly reason: "too_many" | "unauthorized" | "unavailable" };

export type EmitRpcEvent = (event: RpcEvent) => void;
