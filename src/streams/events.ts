import type { Repeated } from "../server/repeated.ts";
import type { Feed } from "../specs/feed.ts";

/** Events of streams over any protocol, for logs and metrics. */
export type StreamEvent =
  | ({ readonly kind: "stream_opened"; readonly feed: Feed; readonly openStreams: number } & Repeated)
  | ({
      readonly kind: "stream_sent";
      readonly feed: Feed;
      readonly item: "spec" | "no_update";
      readonly lcut: number;
      /** The length of the version in the coding of the stream; 0 without a version. */
      readonly bytes: number;
    } & Repeated)
  | ({ readonly kind: "stream_closed"; readonly feed: Feed; readonly openStreams: number } & Repeated)
  | ({
      /** A client did not get the newest version: its message would be too large for the protocol. */
      readonly kind: "spec_too_large";
      readonly feed: Feed;
      /** The size of the message. */
      readonly bytes: number;
    } & Repeated)
  | ({
      readonly kind: "stream_refused";
      /** The name of a gRPC status, such as `permission_denied`. */
      readonly code: string;
      /** Whether the limit of open streams was the reason. */
      readonly isFull: boolean;
    } & Repeated);

export type EmitStreamEvent = (event: StreamEvent) => void;
