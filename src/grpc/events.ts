import type { Code } from "@connectrpc/connect";
import type { Feed } from "../specs/feed.ts";

/** What happens on streams. */
export type RpcEvent =
  | { readonly kind: "stream_opened"; readonly feed: Feed; readonly openStreams: number }
  | {
      readonly kind: "stream_sent";
      readonly feed: Feed;
      readonly item: "spec" | "no_update";
      readonly lcut: number;
    }
  | { readonly kind: "stream_closed"; readonly feed: Feed; readonly openStreams: number }
  | {
      readonly kind: "stream_refused";
      readonly code: Code;
      /** As many streams are open as may be. */
      readonly isFull: boolean;
    };

export type EmitRpcEvent = (event: RpcEvent) => void;
