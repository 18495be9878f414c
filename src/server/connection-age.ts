import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { announceEnd, closeSession } from "#runtime/http2.ts";
import { cutSession } from "./http2-session.ts";
import { LASTING_STREAM } from "./http2-streams.ts";

/** How old connections may become, so that clients behind a load balancer spread over relays that were added. */
export interface ConnectionAge {
  /** 0 for no limit. */
  readonly maxAgeMs: number;
  /** How long a connection that reached it may stay open for what is in flight. */
  readonly graceMs: number;
}

interface AgingConnection {
  readonly session: ServerHttp2Session;
  readonly socket: Socket;
  readonly openStreams: ReadonlySet<ServerHttp2Stream>;
}

type EndStream = (stream: ServerHttp2Stream) => void;

/** Connections that were opened together must not all end together. */
const JITTER = 0.1;

/** gRPC servers send the same debug data. */
const MAX_AGE = Buffer.from("max_age");

/** How long a client may take to respond to the PING after which no further request is accepted; less in a short grace period. */
const LAST_REQUESTS_MS = 1_000;
const LAST_REQUESTS_PART = 0.25;

/** The part of the grace period over which the streams of a connection end. The rest is for what is being sent then. */
const ENDING_PART = 0.5;

/** Ends the connections of a port, on one thread, that have reached their maximum age. */
export class ConnectionAges {
  readonly #endStream: EndStream;
  readonly #timers = new Map<AgingConnection, NodeJS.Timeout | undefined>();
  #age: ConnectionAge = { maxAgeMs: 0, graceMs: 0 };

  /** `endStream` ends a stream of responses so that its client opens another one, and leaves a call with a single response to finish. */
  constructor(endStream: EndStream) {
    this.#endStream = endStream;
  }

  watch(connection: AgingConnection): void {
    this.#start(connection);
    connection.session.once("close", () => this.#forget(connection));
  }

  /** Changes the age. That of open connections counts from now: the old ones would otherwise all end at once. */
  set(age: ConnectionAge): void {
    if (age.maxAgeMs === this.#age.maxAgeMs && age.graceMs === this.#age.graceMs) return;
    this.#age = age;
    for (const connection of [...this.#timers.keys()]) this.#start(connection);
  }

  #start(connection: AgingConnection): void {
    clearTimeout(this.#timers.get(connection));
    const { maxAgeMs } = this.#age;
    const ms = maxAgeMs * (1 - JITTER + 2 * JITTER * Math.random());
    const timer = ms > 0 ? setTimeout(() => this.#retire(connection), ms).unref() : undefined;
    this.#timers.set(connection, timer);
  }

  #forget(connection: AgingConnection): void {
    clearTimeout(this.#timers.get(connection));
    this.#timers.delete(connection);
  }

  /** Has the client open its next streams on another connection. What it has sent until it reads that is still served. */
  #retire(connection: AgingConnection): void {
    const { session, socket } = connection;
    this.#forget(connection);
    if (session.destroyed) return;
    announceEnd(session, socket, MAX_AGE);
    const timers = [setTimeout(() => cutSession(session, socket), this.#age.graceMs).unref()];
    session.once("close", () => timers.forEach(clearTimeout));
    let isRefusing = false;
    // Also called when the connection ends before the response to the PING.
    const refuse = () => {
      if (!isRefusing && !session.destroyed) this.#close(connection, timers);
      isRefusing = true;
    };
    const lastRequestsMs = Math.min(LAST_REQUESTS_MS, LAST_REQUESTS_PART * this.#age.graceMs);
    timers.push(setTimeout(refuse, lastRequestsMs).unref());
    session.ping(refuse);
  }

  /** Refuses further streams, and ends the open ones one after the other: a proxy may have those of many clients on a connection. */
  #close({ session, openStreams }: AgingConnection, timers: NodeJS.Timeout[]): void {
    closeSession(session);
    const endAfter = (ms: number, stream: ServerHttp2Stream) =>
      timers.push(setTimeout(() => this.#endStream(stream), ms).unref());
    const endingMs = ENDING_PART * this.#age.graceMs;
    for (const [at, stream] of [...openStreams].entries())
      endAfter((at * endingMs) / openStreams.size, stream);
    // Those that have arrived in this turn.
    session.on(LASTING_STREAM, (stream: ServerHttp2Stream) => endAfter(endingMs, stream));
  }
}
