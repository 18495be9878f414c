// Serves StreamConfigSpec with connect-node as it comes: a generator that yields a message per update, on node:http2.
//   bun connect-node-server.ts <gRPC port> <port for updates>
import { createServer } from "node:http";
import http2 from "node:http2";
import { text } from "node:stream/consumers";
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ConfigSpecResponseSchema, StatsigForwardProxy } from "../../src/gen/statsig_forward_proxy_pb.ts";

const [grpcPort, updatePort] = process.argv.slice(2).map(Number);

let message = create(ConfigSpecResponseSchema);
let changed = Promise.withResolvers<void>();

const routes = (router: ConnectRouter) => {
  router.service(StatsigForwardProxy, {
    async *streamConfigSpec(_request, { signal }) {
      const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      while (!signal.aborted) {
        const next = changed.promise;
        if (message.lastUpdated > 0n) yield message;
        await Promise.race([next, aborted]);
      }
    },
  });
};

// By default a connection rejects streams while it has 10 MB to send: ten clients of one connection would get 1 MB.
http2.createServer({ maxSessionMemory: 1_000 }, connectNodeAdapter({ routes })).listen(grpcPort, "127.0.0.1");

/** A POST to `/<lcut>` is the next update. Anything else is asked to know whether this server is up. */
createServer(async (request, response) => {
  const spec = await text(request);
  if (request.method === "POST") {
    const lastUpdated = BigInt(request.url?.slice(1) ?? "");
    message = create(ConfigSpecResponseSchema, { spec, lastUpdated });
    changed.resolve();
    changed = Promise.withResolvers();
  }
  response.end();
}).listen(updatePort, "127.0.0.1");
