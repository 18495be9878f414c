import type { Feed } from "../specs/feed.ts";
import type { StreamEvent } from "../streams/events.ts";

/** Events of RPCs, for logs and metrics. */
export type RpcEvent =
  | StreamEvent
  | {
      readonly kind: "rpc_answered";
      /** Undefined if the call failed. */
      readonly feed: Feed | undefined;
      /** `ok`, or the name of another gRPC status. */
      readonly code: string;
      /** The length of the version that the client got; 0 if it got none. */
      readonly bytes: number;
      readonly tookMs: number;
    };

export type EmitRpcEvent = (event: RpcEvent) => void;
