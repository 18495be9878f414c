import { HELD_KEY } from "../clients/attacks.ts";
import { type PublishedKey, publishKey } from "../upstream/published-key.ts";
import { startUpstream, type Upstream } from "../upstream/upstream.ts";
import { Authority } from "./pki.ts";
import type { RelayProcess } from "./relay-process.ts";
import { startRelayWithTls } from "./relay-with-tls.ts";

export type Protocol = "http" | "https" | "grpc" | "grpcs";

/** A relay that serves on all four ports, and a key that it has cached. */
export interface TlsRelay extends AsyncDisposable {
  readonly upstream: Upstream;
  readonly relay: RelayProcess;
  /** The authority of its certificate, which is for localhost. */
  readonly caPath: string;
  readonly held: PublishedKey;
  /** The path of a request for the cached key. */
  readonly heldPath: string;
  /** Returns the status of a GET over a new connection. */
  statusOf(protocol: "http" | "https", path?: string): Promise<number>;
  /** Returns how often the log reports that this limit was reached. */
  reached(limit: string): number;
}

export const specPath = (sdkKey: string): string => `/v2/download_config_specs/${sdkKey}.json`;

export async function startTlsRelay(args: readonly string[] = []): Promise<TlsRelay> {
  await using stack = new AsyncDisposableStack();
  const upstream = stack.use(await startUpstream());
  const held = publishKey(upstream, HELD_KEY);
  const heldPath = specPath(held.sdkKey);
  const authority = stack.use(new Authority());
  const env = { LOG_EVENT_STATSIG_ENDPOINT: upstream.url };
  const relay = stack.use(
    await startRelayWithTls({
      upstream,
      server: authority.issue(),
      args: ["--enforce-tls", "false", ...args],
      env,
    }),
  );
  const statusOf = async (protocol: "http" | "https", path = heldPath): Promise<number> => {
    const answer = await fetch(`${relay.urlOf(protocol)}${path}`, {
      headers: { connection: "close" },
      tls: { rejectUnauthorized: false },
      signal: AbortSignal.timeout(15_000),
    });
    await answer.arrayBuffer();
    return answer.status;
  };
  // The first request makes the relay fetch the key from upstream.
  const first = await statusOf("http");
  if (first !== 200) throw new Error(`the held key was answered ${first}\n${relay.output()}`);
  const owned = stack.move();
  return {
    upstream,
    relay,
    caPath: authority.caPath,
    held,
    heldPath,
    statusOf,
    reached: (limit) =>
      [...relay.output().matchAll(/limit reached\b.*?\blimit=(\S+)/g)].filter(([, name]) => name === limit)
        .length,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
