import { GrpcClient } from "../clients/grpc-client.ts";
import { type ManagedRelay, startManagedRelay } from "../relay/managed-relay.ts";
import type { RelayOptions } from "../relay/relay-process.ts";
import { startUpstream, type Upstream } from "../upstream/upstream.ts";
import { THREAD_COMMANDS_ENV, THREAD_HEADER } from "./thread-commands.ts";
import { ThreadConnection } from "./thread-connection.ts";

export const THREADS = 3;

/** With 60 connections, one of three threads has none in one run of a billion. */
const MANY = 60;

/** A relay with three serving threads of each kind, and clients that know which thread serves them. */
export interface ThreadsRelay extends AsyncDisposable {
  readonly upstream: Upstream;
  readonly managed: ManagedRelay;
  readonly relay: ManagedRelay["relay"];
  /** Opens one connection to each HTTP thread, in the order of their names. */
  openHttp(): Promise<readonly ThreadConnection[]>;
  /** Opens one gRPC connection to each HTTP/2 thread, in the order of their names. */
  openGrpc(): Promise<readonly GrpcClient[]>;
}

export type ThreadsRelayOptions = Omit<RelayOptions, "upstream">;

export async function startThreadsRelay(options: ThreadsRelayOptions = {}): Promise<ThreadsRelay> {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const args = ["--serving-threads", String(THREADS), ...(options.args ?? [])];
  const env = { ...THREAD_COMMANDS_ENV, LOG_EVENT_STATSIG_ENDPOINT: upstream.url, ...options.env };
  const managed = stack.use(await startManagedRelay({ ...options, upstream, args, env }));
  const { relay } = managed;
  const clients = stack.use(new DisposableStack());
  const owned = stack.move();
  const keep = <T extends Disposable>(found: ReadonlyMap<string, T>): readonly T[] =>
    [...found].toSorted(([a], [b]) => a.localeCompare(b)).map(([, client]) => clients.use(client));
  return {
    ...{ upstream, managed, relay },
    openHttp: async () =>
      keep(
        await openOnEach(async () => {
          const connection = await ThreadConnection.open(relay.httpUrl);
          return [await connection.thread(), connection];
        }),
      ),
    openGrpc: async () =>
      keep(
        await openOnEach(async () => {
          const client = new GrpcClient(relay.grpcUrl);
          return [await threadOf(client), client];
        }),
      ),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Returns the name of the thread that serves a client. */
export async function threadOf(client: GrpcClient): Promise<string> {
  return String((await client.checkHeaders()).get(THREAD_HEADER)[0]);
}

/** Opens clients until each thread has one, and closes the others. */
async function openOnEach<T extends Disposable>(
  open: () => Promise<readonly [thread: string, client: T]>,
): Promise<ReadonlyMap<string, T>> {
  const found = new Map<string, T>();
  for (let tries = 0; tries < MANY && found.size < THREADS; tries++) {
    const [thread, client] = await open();
    if (found.has(thread)) client[Symbol.dispose]();
    else found.set(thread, client);
  }
  if (found.size < THREADS) throw new Error(`only threads ${[...found.keys()]} have connections`);
  return found;
}
