import { afterAll, beforeAll } from "bun:test";
import { startUpstream, type Upstream, type UpstreamOptions } from "../upstream/upstream.ts";
import { type RelayOptions, type RelayProcess, startRelayProcess } from "./relay-process.ts";

export interface SharedRelay {
  readonly upstream: Upstream;
  readonly relay: RelayProcess;
}

/**
 * Starts one upstream and one relay for all tests of the file or block that calls it. Each test must use its own SDK keys.
 */
export function shareRelay(
  relayOptions: Omit<RelayOptions, "upstream"> = {},
  upstreamOptions: UpstreamOptions = {},
): SharedRelay {
  let started: (SharedRelay & AsyncDisposable) | undefined;
  beforeAll(async () => {
    await using stack = new AsyncDisposableStack();
    const upstream = stack.use(await startUpstream(upstreamOptions));
    const relay = stack.use(await startRelayProcess({ ...relayOptions, upstream }));
    const owned = stack.move();
    started = { upstream, relay, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  });
  afterAll(async () => started?.[Symbol.asyncDispose]());
  const running = (): SharedRelay => {
    if (started === undefined) throw new Error("the shared relay has not started");
    return started;
  };
  return {
    get upstream() {
      return running().upstream;
    },
    get relay() {
      return running().relay;
    },
  };
}
