import type { Bench } from "../bench.ts";
import { RelayServer } from "../relay-server.ts";
import { type StaticUpstream, specPath } from "../static-upstream.ts";
import type { HttpServer } from "./http-server.ts";
import { startNginx } from "./nginx-server.ts";

/** All servers; the relay is the first. */
export async function startServers(
  bench: Bench,
  upstream: StaticUpstream,
  warmKey: string,
): Promise<AsyncDisposable & { readonly servers: readonly HttpServer[] }> {
  await using starting = new AsyncDisposableStack();
  const relay = starting.use(await startRelay(bench, upstream));
  const servers = [relay];
  for (const variant of ["usual", "tuned", "copying"] as const) {
    servers.push(starting.use(await startNginx(bench, upstream.url, variant, specPath(warmKey))));
  }
  const running = starting.move();
  return { servers, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

async function startRelay(bench: Bench, upstream: StaticUpstream): Promise<HttpServer> {
  const relay = await RelayServer.start(bench, { upstream, cores: bench.cores?.server });
  return {
    name: "relay",
    url: relay.httpUrl,
    pid: relay.pid,
    tidy: () => {},
    [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
  };
}
