import { type ManagedRelay, startManagedRelay } from "../relay/managed-relay.ts";
import type { RelayOptions } from "../relay/relay-process.ts";
import { publishKey } from "../upstream/published-key.ts";
import { startUpstream, type Upstream } from "../upstream/upstream.ts";
import { type DecodedProfile, decodePprof } from "./decoded-profile.ts";

export const PROFILED_KEY = "secret-profiled-0123456789";

/** A relay with debug endpoints. */
export interface ProfiledRelay extends AsyncDisposable {
  readonly managed: ManagedRelay;
  readonly relay: ManagedRelay["relay"];
  readonly upstream: Upstream;
  /** Sends a request for a profile. The path and query come after `/debug/`. */
  order(path: string, init?: RequestInit): Promise<Response>;
  /** Takes a profile. Rejects unless the response is 200. */
  take(path: string): Promise<DecodedProfile>;
  /** Asks for config specs and the status until the result is disposed of. Resolves once the first responses are there. */
  load(): Promise<AsyncDisposable>;
}

export async function startProfiledRelay(options: RelayOptions = {}): Promise<ProfiledRelay> {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  publishKey(upstream, PROFILED_KEY);
  const args = ["--serving-threads", "2", "--debug-endpoints", ...(options.args ?? [])];
  const managed = stack.use(await startManagedRelay({ ...options, upstream, args }));
  const owned = stack.move();
  const { relay, url } = managed;
  const order = (path: string, init: RequestInit = {}) =>
    fetch(`${url}/debug/${path}`, { method: "POST", ...init });
  return {
    ...{ managed, relay, upstream, order },
    take: (path) => takeProfile(url, path),
    load: () => {
      const specs = `${relay.httpUrl}/v2/download_config_specs/${PROFILED_KEY}.json`;
      return startLoad([...Array<string>(HTTP_CLIENTS).fill(specs), `${url}/status.json`]);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Takes a profile at a management port. Rejects unless the response is 200. */
export async function takeProfile(url: string, path: string): Promise<DecodedProfile> {
  const response = await fetch(`${url}/debug/${path}`, { method: "POST" });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  return decodePprof(await response.bytes());
}

/** Enough for connections on both threads of the HTTP port. */
export const HTTP_CLIENTS = 16;

/** Asks for these URLs, each as fast as it is answered, until the result is disposed of. Resolves once the first responses are there. */
export async function startLoad(urls: readonly string[]): Promise<AsyncDisposable> {
  let isOver = false;
  const ask = async (url: string) => {
    const response = await fetch(url);
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
  };
  const client = async (url: string) => {
    while (!isOver) await ask(url);
  };
  await Promise.all(urls.map(ask));
  const clients = urls.map(client);
  return {
    [Symbol.asyncDispose]: async () => {
      isOver = true;
      await Promise.all(clients);
    },
  };
}
