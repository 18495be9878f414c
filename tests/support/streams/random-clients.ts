import { FRAME, frame, requestHeaders, uint32 } from "../clients/http2-frames.ts";
import { RawConnection } from "../clients/raw-connection.ts";
import { encodeRequest } from "../clients/spec-messages.ts";
import { StreamConnection, type StreamConnectionOptions } from "../clients/stream-connection.ts";
import type { Action, Opening, WINDOWS } from "./client-actions.ts";
import type { CountedRelay } from "./counted-relay.ts";
import { httpStreamRequest } from "./http-stream-request.ts";

interface OpenStream {
  readonly connection: StreamConnection;
  readonly id: number;
  readonly endsLater: boolean;
}

const OPTIONS: Readonly<Record<(typeof WINDOWS)[number], StreamConnectionOptions>> = {
  usual: {},
  none: { streamWindow: 0 },
  "never acknowledged": { acknowledges: false },
};

/** Beyond this, the oldest connection is cut before the next one. */
const MAX_CONNECTIONS = 20;

/** Clients of a relay that do what the actions say, as far as they can. */
export class RandomClients implements Disposable {
  /** The streams over HTTP/2 that got a message. */
  served = 0;
  readonly #relay: CountedRelay;
  #connections: StreamConnection[] = [];
  #streams: OpenStream[] = [];
  #https: RawConnection[] = [];

  constructor(relay: CountedRelay) {
    this.#relay = relay;
  }

  async apply(action: Action): Promise<void> {
    switch (action.kind) {
      case "connect":
        return this.#connect(OPTIONS[action.window]);
      case "open":
        return this.#open(action);
      case "open_http":
        return this.#openHttp(
          httpStreamRequest(action.stream, { sdkKey: action.key, sinceTime: action.sinceTime }),
        );
      case "reset":
      case "reset_twice":
        return this.#reset(action.at, action.code, action.kind === "reset_twice");
      case "end_request":
      case "break":
      case "widen":
        return this.#send(action.kind, action.at);
      case "cut":
      case "go_away":
      case "pause":
      case "resume":
        return this.#treatConnection(action.kind, action.at);
      case "cut_http":
        return this.#https.splice(action.at % Math.max(1, this.#https.length), 1)[0]?.[Symbol.dispose]();
      case "half_close_http":
        return pick(this.#https, action.at)?.end();
      case "wait":
        return Bun.sleep(action.ms);
      case "publish":
        return this.#relay.publish(action.key);
      case "revoke":
        return this.#relay.revoke(action.key);
      case "limit":
        return this.#relay.setMaxStreams(action.max);
      case "end_thread":
        return this.#endThread(action.protocol);
    }
  }

  /** Resets every stream on the connections that are left, and cuts those of HTTP/1.1. */
  resetAll(code: number): void {
    for (const { connection, id } of this.#streams) connection.reset(id, code);
    this.#streams = [];
    for (const http of this.#https) http[Symbol.dispose]();
    this.#https = [];
  }

  /** Cuts every connection. */
  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection[Symbol.dispose]();
    for (const http of this.#https) http[Symbol.dispose]();
    [this.#connections, this.#streams, this.#https] = [[], [], []];
  }

  /** The thread of the connection may just have ended. */
  async #connect(options: StreamConnectionOptions): Promise<void> {
    if (this.#connections.length >= MAX_CONNECTIONS) this.#connections[0]?.[Symbol.dispose]();
    this.#connections = this.#connections.filter(({ isClosed }) => !isClosed);
    const connection = await StreamConnection.open(this.#relay.grpcUrl, options).catch(() => undefined);
    if (connection !== undefined) this.#connections.push(connection);
  }

  async #open({ at, key: sdkKey, version, sinceTime, protocol, ...opening }: Opening): Promise<void> {
    if (this.#connections.length === 0) await this.#connect({});
    const connection = pick(this.#connections, at);
    if (connection === undefined) return;
    const { deadlineMs, endsLater, resetsWith } = opening;
    const headers = {
      "content-type": protocol,
      ...(protocol.startsWith("application/connect") && { "connect-protocol-version": "1" }),
      ...(deadlineMs !== undefined &&
        (protocol.startsWith("application/connect")
          ? { "connect-timeout-ms": String(deadlineMs) }
          : { "grpc-timeout": `${deadlineMs}m` })),
    };
    const message = encodeRequest({ sdkKey, version, sinceTime });
    let isServed = false;
    const onData = () => {
      if (!isServed) this.served++;
      isServed = true;
    };
    const onEnd = () => {
      this.#streams = this.#streams.filter((each) => each.connection !== connection || each.id !== id);
    };
    const id = connection.open(message, { onData, onEnd }, { headers, endsLater });
    if (resetsWith !== undefined) connection.reset(id, resetsWith);
    else this.#streams.push({ connection, id, endsLater });
  }

  async #openHttp(request: Buffer): Promise<void> {
    const http = await RawConnection.open(this.#relay.httpUrl).catch(() => undefined);
    http?.write(request);
    if (http !== undefined) this.#https.push(http);
  }

  #reset(at: number, code: number, isTwice: boolean): void {
    const [stream] = this.#streams.splice(at % Math.max(1, this.#streams.length), 1);
    if (stream === undefined) return;
    stream.connection.reset(stream.id, code);
    if (isTwice) stream.connection.send(frame(FRAME.rstStream, 0, stream.id, uint32(code)));
  }

  #send(kind: "end_request" | "break" | "widen", at: number): void {
    const streams =
      kind === "end_request" ? this.#streams.filter(({ endsLater }) => endsLater) : this.#streams;
    const stream = pick(streams, at);
    if (stream === undefined) return;
    const { connection, id } = stream;
    if (kind === "end_request") connection.endRequest(id);
    // An increment of 0 is an error of the stream.
    else connection.send(frame(FRAME.windowUpdate, 0, id, uint32(kind === "break" ? 0 : 10_000)));
  }

  #treatConnection(kind: "cut" | "go_away" | "pause" | "resume", at: number): void {
    const connection = pick(this.#connections, at);
    if (kind === "cut") connection?.[Symbol.dispose]();
    else if (kind === "go_away") connection?.goAway();
    else if (kind === "pause") connection?.pause();
    else connection?.resume();
  }

  /** Whichever thread has the connection ends. */
  async #endThread(protocol: "http" | "grpc"): Promise<void> {
    const path = "/test/exit";
    if (protocol === "http") {
      await this.#openHttp(Buffer.from(`GET ${path} HTTP/1.1\r\n\r\n`));
    } else {
      const connection = await StreamConnection.open(this.#relay.grpcUrl).catch(() => undefined);
      connection?.openWith(requestHeaders("POST", path), [Buffer.alloc(0)], {});
      if (connection !== undefined) this.#connections.push(connection);
    }
  }
}

const pick = <T>(all: readonly T[], at: number): T | undefined => all[at % Math.max(1, all.length)];
