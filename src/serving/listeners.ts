import type { HttpHandler } from "../http/handler.ts";
import type { ConnectionAge } from "../server/connection-age.ts";
import type { Http2Counts } from "../server/http2-server.ts";
import type { EmitLimitEvent } from "../server/limits.ts";
import type { ServerTls } from "../server/tls.ts";
import type { ServingCounts } from "./counts.ts";
import type { ListenFailure, Protocol, ServingSetup, SharedPort } from "./messages.ts";
import type { Rpcs } from "./rpcs.ts";

interface ListenerParts {
  readonly setup: ServingSetup;
  readonly counts: ServingCounts;
  readonly tls: ServerTls | undefined;
  /** Makes the handler of the HTTP ports. Called once, if the thread has one. */
  readonly createHandler: () => Promise<HttpHandler>;
  readonly loadRpcs: () => Promise<Rpcs>;
  readonly emitLimit: EmitLimitEvent;
}

interface Listener {
  setConnectionAge?(age: ConnectionAge): void;
  close(): Promise<void>;
}

/** The listeners of one thread. They share their ports with those of other threads. */
export class Listeners {
  readonly #parts: ListenerParts;
  readonly #open: Listener[] = [];
  #handler: HttpHandler | undefined;
  #connectionAge: ConnectionAge;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
    this.#connectionAge = parts.setup.settings.connectionAge;
  }

  /** Opens every port. Returns the failure of the first one that cannot be opened. */
  async listen(): Promise<ListenFailure | undefined> {
    for (const port of this.#parts.setup.ports) {
      try {
        const listener = await this.#listenOn(port);
        this.#open.push(listener);
        listener.setConnectionAge?.(this.#connectionAge);
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        return { protocol: port.protocol, code, message };
      }
    }
    return undefined;
  }

  /** The handler of the HTTP ports; undefined without one. */
  get handler(): HttpHandler | undefined {
    return this.#handler;
  }

  setConnectionAge(age: ConnectionAge): void {
    this.#connectionAge = age;
    for (const listener of this.#open) listener.setConnectionAge?.(age);
  }

  /** Stops accepting connections, and ends streams. Resolves when nothing is in flight any more. */
  async close(): Promise<void> {
    this.#handler?.endStreams();
    await Promise.all(this.#open.map((listener) => listener.close()));
  }

  /** Loads only what the ports of this thread need: each module costs memory in every thread. */
  async #listenOn({ protocol, bindAddress, port }: SharedPort): Promise<Listener> {
    const { setup, counts, emitLimit } = this.#parts;
    const { limits } = setup;
    const { idleTimeoutMs } = limits;
    const address = { bindAddress, port, reusePort: true };
    switch (protocol) {
      case "http": {
        const { HttpListener } = await import("../http/http-listener.ts");
        const handler = await this.#openHandler();
        const connections = counts.of("http_connections");
        return new HttpListener({ ...address, ...limits, handler, connections, emitLimit });
      }
      case "https": {
        const { HttpsListener } = await import("../http/https-listener.ts");
        const handler = await this.#openHandler();
        const shared = { limits, counts: await this.#http2Counts(protocol), idleTimeoutMs, emitLimit };
        return HttpsListener.listen({ ...address, ...shared, tls: this.#tlsFor(protocol), handler });
      }
      case "grpc":
      case "grpcs": {
        const { GrpcListener } = await import("../grpc/listener.ts");
        const shared = { limits, counts: await this.#http2Counts(protocol), idleTimeoutMs, emitLimit };
        const tls = protocol === "grpc" ? undefined : this.#tlsFor(protocol);
        return GrpcListener.listen({ ...address, ...shared, tls, ...(await this.#parts.loadRpcs()) });
      }
    }
  }

  async #openHandler(): Promise<HttpHandler> {
    this.#handler ??= await this.#parts.createHandler();
    return this.#handler;
  }

  async #http2Counts(protocol: Exclude<Protocol, "http">): Promise<Http2Counts> {
    const { counts } = this.#parts;
    const { MAX_ARRIVING_REQUESTS } = await import("../server/http2-streams.ts");
    return {
      connections: counts.of(`${protocol}_connections`),
      arrivingRequests: counts.budget(`${protocol}_arriving_requests`, MAX_ARRIVING_REQUESTS),
    };
  }

  #tlsFor(protocol: Protocol): ServerTls {
    const { tls } = this.#parts;
    if (tls === undefined) throw new Error(`no certificate for ${protocol}`);
    return tls;
  }
}
