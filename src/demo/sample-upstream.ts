import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { RenderedRevision } from "./rendered-revision.ts";
import type { SampleAnswer } from "./sample-answer.ts";
import { projectAt } from "./sample-project.ts";
import { answer, type SampleShop } from "./sample-routes.ts";

const defaultSdkKey = "secret-demo";

export interface SampleUpstreamOptions {
  /** 0 takes any free port. */
  readonly port: number;
  readonly hostname: string;
  /** How long a revision lasts; 0 leaves changes to `change()`. */
  readonly changeEveryMs: number;
  /** The only SDK key that is known; "secret-demo" unless given. */
  readonly sdkKey?: string;
  readonly log?: (line: string) => void;
}

/** A stand-in for Statsig's CDN and event endpoint, serving one sample project that keeps changing. */
export interface SampleUpstream extends AsyncDisposable {
  /** What to give a relay or an SDK in place of Statsig's own: scheme, host and port, no path. */
  readonly url: string;
  revision(): number;
  /** Publishes the next revision at once. */
  change(): void;
  /** How many events have been received so far. */
  eventCount(): number;
}

function send(response: ServerResponse, { status, headers, body }: SampleAnswer): void {
  response.writeHead(status, { ...headers, "content-length": String(body.length) });
  response.end(body);
}

async function serve(request: IncomingMessage, response: ServerResponse, shop: SampleShop): Promise<void> {
  try {
    send(response, await answer(request, shop));
  } catch {
    // The client went away while its body was being read, or sent a path that is no URL.
    response.destroy();
  }
}

async function listen(server: Server, port: number, hostname: string): Promise<string> {
  server.listen(port, hostname);
  await once(server, "listening");
  const address = server.address();
  const boundPort = typeof address === "object" && address !== null ? address.port : port;
  return `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${boundPort}`;
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

export async function startSampleUpstream(options: SampleUpstreamOptions): Promise<SampleUpstream> {
  const { port, hostname, changeEveryMs, sdkKey = defaultSdkKey, log = () => {} } = options;
  let current = new RenderedRevision(projectAt(1, Date.now()), sdkKey);
  let events = 0;

  const change = () => {
    const { revision, timeMs } = current.project;
    // The lcut must grow even where two changes fall into one millisecond, or the clock is set back.
    current = new RenderedRevision(projectAt(revision + 1, Math.max(Date.now(), timeMs + 1)), sdkKey);
    log(`sample upstream: revision ${revision + 1}, lcut ${current.project.timeMs}`);
  };
  const received = (count: number) => {
    events += count;
    log(`sample upstream: ${count} events received, ${events} in all`);
  };

  const server = createServer((request, response) => void serve(request, response, shop));
  const url = await listen(server, port, hostname);
  const shop: SampleShop = { sdkKey, baseUrl: url, current: () => current, received };
  const timer = changeEveryMs > 0 ? setInterval(change, changeEveryMs) : undefined;

  return {
    url,
    revision: () => current.project.revision,
    change,
    eventCount: () => events,
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await close(server);
    },
  };
}
