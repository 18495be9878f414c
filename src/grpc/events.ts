import type { Feed } from "../specs/feed.ts";

/** What happens to RPCs. */
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
      /** As in `permission_denied`. */
      readonly code: string;
      /** As many streams are open as may be. */
      readonly isFull: boolean;
    }
  | {
      readonly kind: "rpc_answered";
      /** Undefined where nothing is held of what was asked for. */
      readonly feed: Feed | undefined;
      /** `ok`, or as in `permission_denied`. */
      readonly code: string;
      readonly tookMs: number;
    };

export type EmitRpcEvent = (event: RpcEvent) => void;
