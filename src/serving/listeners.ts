import { GrpcListener } from "../grpc/listener.ts";
import type { RpcRoutes } from "../grpc/routes.ts";
import type { SpecService } from "../grpc/spec-service.ts";
import type { HttpHandler } from "../http/handler.ts";
import { HttpListener } from "../http/http-listener.ts";
import { HttpsListener } from "../http/https-listener.ts";
import type { Http2Counts } from "../server/http2-server.ts";
import { MAX_ARRIVING_REQUESTS } from "../server/http2-streams.ts";
import type { EmitLimitEvent } from "../server/limits.ts";
import type { ServerTls } from "../server/tls.ts";
import type { ServingCounts } from "./counts.ts";
import type { ListenFailure, Protocol, ServingSetup, SharedPort } from "./messages.ts";

interface ListenerParts {
  readonly setup: ServingSetup;
  readonly counts: ServingCounts;
  readonly tls: ServerTls | undefined;
  readonly handler: HttpHandler;
  readonly routes: RpcRoutes;
  readonly specService: SpecService;
  readonly emitLimit: EmitLimitEvent;
}

interface Listener {
  close(): Promise<void>;
}

/** The listeners of one thread. They share their ports with those of other threads. */
export class Listeners {
  readonly #parts: ListenerParts;
  readonly #open: Listener[] = [];

  constructor(parts: ListenerParts) {
    this.#parts = parts;
  }

  /** Opens every port. Returns the failure of the first one that cannot be opened. */
  async listen(): Promise<ListenFailure | undefined> {
    for (const port of this.#parts.setup.ports) {
      try {
        this.#open.push(await this.#listenOn(port));
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        return { protocol: port.protocol, code, message };
      }
    }
    return undefined;
  }

  /** Stops accepting connections, and ends streams. Resolves when nothing is in flight any more. */
  async close(): Promise<void> {
    this.#parts.handler.endStreams();
    await Promise.all(this.#open.map((listener) => listener.close()));
  }

  async #listenOn({ protocol, bindAddress, port }: SharedPort): Promise<Listener> {
    const { setup, counts, handler, emitLimit, routes, specService } = this.#parts;
    const { limits } = setup;
    const { idleTimeoutMs } = limits;
    const address = { bindAddress, port, reusePort: true };
    switch (protocol) {
      case "http": {
        const connections = counts.of("http_connections");
        return new HttpListener({ ...address, ...limits, handler, connections, emitLimit });
      }
      case "https": {
        const shared = { limits, counts: this.#http2Counts(protocol), idleTimeoutMs, emitLimit };
        return HttpsListener.listen({ ...address, ...shared, tls: this.#tlsFor(protocol), handler });
      }
      case "grpc":
      case "grpcs": {
        const shared = { limits, counts: this.#http2Counts(protocol), idleTimeoutMs, emitLimit };
        const tls = protocol === "grpc" ? undefined : this.#tlsFor(protocol);
        return GrpcListener.listen({ ...address, ...shared, tls, routes, specService });
      }
    }
  }

  #http2Counts(protocol: Exclude<Protocol, "http">): Http2Counts {
    const { counts } = this.#parts;
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
