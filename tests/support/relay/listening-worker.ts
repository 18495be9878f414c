import type { Server } from "node:net";
import { HttpListener } from "../../../src/http/http-listener.ts";
import { SharedBudget } from "../../../src/platform/shared-budget.ts";
import { SharedCount } from "../../../src/platform/shared-count.ts";
import { createHttp2Server } from "../../../src/server/http2-server.ts";
import { listen } from "../../../src/server/ports.ts";

declare const self: Worker;

export interface ListenTask {
  readonly protocol: "http" | "http2";
  readonly port: number;
  readonly maxConnections: number;
  /** Counts the connections of the port. */
  readonly memory: SharedArrayBuffer;
  readonly slot: number;
}

const LIMITS = {
  maxHeaderBytes: 16_384,
  maxHeaders: 100,
  headerTimeoutMs: 60_000,
  bodyTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  unreadTimeoutMs: 60_000,
  keepaliveTimeMs: 60_000,
  keepaliveTimeoutMs: 60_000,
  maxStreamsPerConnection: 100,
  maxResetsPerMin: 100,
};

/** Listens on a port that other Workers share, and posts a message when it does. */
self.onmessage = async ({ data }: MessageEvent<ListenTask>) => {
  const { protocol, port, maxConnections } = data;
  const connections = new SharedCount(data.memory, data.slot);
  const address = { bindAddress: "127.0.0.1", port, reusePort: true };
  const limits = { ...LIMITS, maxConnections };
  if (protocol === "http") {
    const handler = { fromCache: () => undefined, handle: () => new Response("ok") };
    new HttpListener({ ...address, ...limits, handler, connections, emitLimit: () => {} });
  } else {
    const arrivingRequests = new SharedBudget({ max: 100, threads: 1, common: new SharedCount() });
    const { server } = createHttp2Server({
      ...{ tls: undefined, limits, counts: { connections, arrivingRequests }, idleTimeoutMs: 60_000 },
      emit: () => {},
      onRequest: (_, response) => response.end("ok"),
    });
    await listen(server as Server, address);
  }
  self.postMessage("listening");
};
