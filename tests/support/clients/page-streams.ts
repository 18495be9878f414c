import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { StatsigForwardProxy } from "../../../src/gen/statsig_forward_proxy_pb.ts";

export type PageStream = "EventSource" | "connect" | "grpc-web";

/** What a page has received by one kind of stream: the lcut and the length of each spec, in order. */
export interface Watched {
  readonly specs: { readonly lcut: string; readonly length: number }[];
  /** How often the connection was lost. */
  losses: number;
}

/** How long the page waits before it calls the RPC again; an EventSource waits as the relay says. */
const AGAIN_AFTER_MS = 200;

const watched: Partial<Record<PageStream, Watched>> = {};

/** Passed to the page as `pageWatch`: this file is bundled, and runs in a browser. */
function pageWatch(by: PageStream, relayUrl: string, sdkKey: string): void {
  const seen: Watched = { specs: [], losses: 0 };
  watched[by] = seen;
  if (by === "EventSource") watchEvents(`${relayUrl}/v2/stream_config_specs/${sdkKey}`, seen);
  else void watchRpc(by, relayUrl, sdkKey, seen);
}

/** Bun's types have no constructor of it. */
const BrowserEventSource = EventSource as unknown as new (url: string) => EventTarget;

function watchEvents(url: string, { specs }: Watched): void {
  const source = new BrowserEventSource(url);
  source.addEventListener("spec", (event) => {
    const { data, lastEventId } = event as MessageEvent<string>;
    JSON.parse(data);
    specs.push({ lcut: lastEventId, length: data.length });
  });
  source.addEventListener("error", () => {
    const seen = watched.EventSource;
    if (seen !== undefined) seen.losses++;
  });
}

async function watchRpc(by: PageStream, baseUrl: string, sdkKey: string, seen: Watched): Promise<void> {
  const transport =
    by === "connect" ? createConnectTransport({ baseUrl }) : createGrpcWebTransport({ baseUrl });
  const client = createClient(StatsigForwardProxy, transport);
  for (let sinceTime = 0n; ; ) {
    try {
      const stream = client.streamConfigSpec({ sdkKey, version: 2, sinceTime });
      for await (const { spec, lastUpdated } of stream) {
        if (lastUpdated <= sinceTime) continue;
        sinceTime = lastUpdated;
        seen.specs.push({ lcut: String(lastUpdated), length: spec.length });
      }
    } catch {
      seen.losses++;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
  }
}

Object.assign(globalThis, { pageWatch, watched });
