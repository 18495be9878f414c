import type { Repeated } from "../server/repeated.ts";
import type { Feed } from "../specs/feed.ts";

/** Events of RPCs, for logs and metrics. */
export type RpcEvent =
  | ({ readonly kind: "stream_opened"; readonly feed: Feed; readonly openStreams: number } & Repeated)
  | ({
      readonly kind: "stream_sent";
      readonly feed: Feed;
      readonly item: "spec" | "no_update";
      readonly lcut: number;
    } & Repeated)
  | ({ readonly kind: "stream_closed"; readonly feed: Feed; readonly openStreams: number } & Repeated)
  | ({
      readonly kind: "stream_refused";
      /** The name of a gRPC status, such as `permission_denied`. */
      readonly code: string;
      /** Whether the limit of open streams was the reason. */
      readonly isFull: boolean;
    } & Repeated)
  | {
      readonly kind: "rpc_answered";
      /** Undefined if the call failed. */
      readonly feed: Feed | undefined;
      /** `ok`, or the name of another gRPC status. */
      readonly code: string;
      readonly tookMs: number;
    };

export type EmitRpcEvent = (event: RpcEvent) => void;
