import type { SharedCount } from "../platform/shared-count.ts";
import type { Repeated } from "./repeated.ts";

/** Counts the requests in flight on all ports and threads together, and limits them. */
export class InFlight {
  #max: number;
  readonly #count: SharedCount;
  readonly #emit: EmitLimitEvent;

  constructor(max: number, count: SharedCount, emit: EmitLimitEvent) {
    this.#max = max;
    this.#count = count;
    this.#emit = emit;
  }

  /** Changes the limit. Requests already admitted above it are not cancelled. */
  setMax(max: number): void {
    this.#max = max;
  }

  /** Returns undefined if the limit is reached. Dispose of the result when the request has its response. */
  enter(): Disposable | undefined {
    if (!this.#count.tryAdd(1, this.#max)) {
      this.#emit({ kind: "limit_reached", limit: "max-concurrent-requests" });
      return undefined;
    }
    return { [Symbol.dispose]: () => this.#count.subtract(1) };
  }
}

/** For Redis, upstream, files and up to {@link THREADS_INCLUDED} serving threads. */
const RESERVED_DESCRIPTORS = 256;
const THREADS_INCLUDED = 4;

/** Three for the thread itself, and one for each port it may have. */
const DESCRIPTORS_PER_THREAD = 6;

/** Returns the number of file descriptors that clients can never use up, with this number of serving threads. */
export function reservedDescriptors(threads: number): number {
  return RESERVED_DESCRIPTORS + DESCRIPTORS_PER_THREAD * Math.max(0, threads - THREADS_INCLUDED);
}

/** The fewest connections of a port. With fewer, the SDKs of one server and the probes would use them up. */
const MIN_CONNECTIONS = 64;

type ConnectionsAllowed =
  | { readonly kind: "as_wanted" }
  /** The limit is lowered to `connections`. */
  | { readonly kind: "lowered"; readonly connections: number }
  /** Too few to serve. `needed` descriptors would be enough. */
  | { readonly kind: "too_few"; readonly needed: number };

interface ConnectionsWanted {
  /** The maximum number of connections of each port. */
  readonly maxConnections: number;
  readonly ports: number;
  /** The number of serving threads. */
  readonly threads: number;
}

/** Returns how many connections each port may have, given the number of descriptors. */
export function connectionsAllowed(
  { maxConnections: wanted, ports, threads }: ConnectionsWanted,
  descriptors: number,
): ConnectionsAllowed {
  const reserved = reservedDescriptors(threads);
  const connections = Math.floor((descriptors - reserved) / ports);
  if (connections >= wanted) return { kind: "as_wanted" };
  const least = Math.min(wanted, MIN_CONNECTIONS);
  if (connections < least) return { kind: "too_few", needed: reserved + ports * least };
  return { kind: "lowered", connections };
}

/** Limits, named by the option that sets each. */
export type LimitName =
  | "max-connections"
  | "max-concurrent-requests"
  /** Over HTTP/2 it is emitted once Bun has rejected a hundred requests of a connection. */
  | "max-header-size-in-kb"
  | "max-header-count"
  | "max-url-length"
  | "max-request-body-in-mb"
  | "header-timeout-in-s"
  | "body-timeout-in-s"
  /** Emitted when the limit is reached. Bun itself rejects further streams. */
  | "http2-max-concurrent-streams"
  | "http2-max-resets-per-min"
  /** The limits below have no option. */
  | "http2-settings-per-min"
  | "http2-pings-per-min"
  | "arriving-requests"
  | "arriving-bodies"
  | "health-watches";

/** A limit took effect, or a connection was of no use. */
export type LimitEvent =
  | LimitReached
  /** An HTTP/2 client did not respond to a PING and showed no other sign of life. Its connection is closed. */
  | ({ readonly kind: "client_vanished" } & Repeated)
  /** A client does not speak the protocol of the port. Events that differ in their client only may become one. */
  | ({
      readonly kind: "wrong_protocol";
      /** A sentence, the same for all clients with this problem. */
      readonly reason: string;
      /** The IP address of the client, or of the latest one; empty if it is not known. */
      readonly client: string;
      /** The port of the relay. */
      readonly port: number;
    } & Repeated)
  /** The system allows too few descriptors for the configured connections: each port gets fewer. */
  | { readonly kind: "connections_lowered"; readonly connections: number; readonly descriptors: number };

interface LimitReached extends Repeated {
  readonly kind: "limit_reached";
  readonly limit: LimitName;
}

export type EmitLimitEvent = (event: LimitEvent) => void;
