import { type Bench, programsOf } from "../bench.ts";
import type { HttpServer } from "../http/http-server.ts";
import { startNginx } from "../http/nginx-server.ts";
import { type RelayProgram, threadArgs } from "../relay-program.ts";
import { RelayServer } from "../relay-server.ts";
import { type StaticUpstream, specPath } from "../static-upstream.ts";

/** A server, and how many of its threads or processes serve clients. */
export interface ThreadedServer extends HttpServer {
  readonly threads: number;
}

export interface ThreadedServers extends AsyncDisposable {
  readonly servers: readonly ThreadedServer[];
}

/** Starts relays with one and with `threads` threads, the baseline, and nginx with as many workers. */
export async function startThreadedServers(
  bench: Bench,
  upstream: StaticUpstream,
  threads: number,
  warmKey: string,
): Promise<ThreadedServers> {
  await using starting = new AsyncDisposableStack();
  const servers: ThreadedServer[] = [];
  for (const each of relaysOf(bench, threads)) {
    servers.push(starting.use(await startThreadedRelay(bench, upstream, each.program, each.threads)));
  }
  for (const variant of ["usual", "tuned"] as const) {
    const nginx = starting.use(await startNginx(bench, upstream.url, variant, specPath(warmKey), threads));
    servers.push({ ...nginx, name: `${nginx.name}, ${threads}`, threads });
  }
  const running = starting.move();
  return { servers, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

export interface RelayThreads {
  readonly program: RelayProgram;
  readonly threads: number;
}

/** The relay with `threads` threads and with one, and the baseline. A program without the option has one thread. */
function relaysOf(bench: Bench, threads: number): readonly RelayThreads[] {
  return programsOf(bench).flatMap((program) =>
    program.hasServingThreads
      ? [
          { program, threads },
          { program, threads: 1 },
        ]
      : [{ program, threads: 1 }],
  );
}

export async function startThreadedRelay(
  bench: Bench,
  upstream: StaticUpstream,
  program: RelayProgram,
  threads: number,
): Promise<ThreadedServer> {
  const options = { program, upstream, cores: bench.cores?.server, args: threadArgs(program, threads) };
  const relay = await RelayServer.start(bench, options);
  return {
    name: `${program.name}, ${threads}`,
    url: relay.httpUrl,
    pid: relay.pid,
    threads,
    tidy: () => {},
    [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
  };
}
