import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { ProtoVersion } from "./deltas/proto-project.ts";
import type { Project } from "./project.ts";

/** Version of the first project of each part. Later versions count up from it. */
export const FIRST_LCUT = 1_760_000_000_000;

const NO_UPDATE = '{"has_updates":false}';

/** A response with specs. */
interface Published {
  readonly lcut: number;
  readonly contentType: string;
  readonly contentEncoding: string;
  readonly body: Uint8Array;
}

/** A fake of Statsig's CDN. Each SDK key has one project, which is sent from memory: JSON with gzip, or protobuf. */
export class StaticUpstream implements AsyncDisposable {
  readonly #server: Server;
  readonly #projects = new Map<string, Published>();
  #requests = 0;
  readonly #sentAt = new Map<number, number>();
  readonly #awaited = new Map<number, () => void>();

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(): Promise<StaticUpstream> {
    const upstream = new StaticUpstream();
    await new Promise<void>((resolve) => upstream.#server.listen(0, "127.0.0.1", resolve));
    return upstream;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the upstream is not listening");
    return `http://127.0.0.1:${address.port}`;
  }

  /** Number of requests so far. */
  get requests(): number {
    return this.#requests;
  }

  /** Returns when a version was first sent, in ms since the Unix epoch, or NaN. */
  sentAt(lcut: number): number {
    return this.#sentAt.get(lcut) ?? Number.NaN;
  }

  /** Resolves as soon as a version is first sent, with the time in ms since the Unix epoch. */
  async sent(lcut: number): Promise<number> {
    if (!this.#sentAt.has(lcut)) await new Promise<void>((resolve) => this.#awaited.set(lcut, resolve));
    return this.sentAt(lcut);
  }

  publish(sdkKey: string, { lcut, gzip }: Project): void {
    this.#projects.set(sdkKey, {
      lcut,
      contentType: "application/json",
      contentEncoding: "gzip",
      body: gzip,
    });
  }

  /** All requests for this key must be for protobuf. */
  publishProto(sdkKey: string, { lcut, statsigBr }: ProtoVersion): void {
    const contentType = "application/octet-stream";
    this.#projects.set(sdkKey, { lcut, contentType, contentEncoding: "statsig-br", body: statsigBr });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.#requests++;
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://upstream");
    const sdkKey = pathname.slice(pathname.lastIndexOf("/") + 1).replace(/\.json$/, "");
    const project = this.#projects.get(sdkKey);
    if (project === undefined) {
      response.writeHead(401).end("Unauthorized");
      return;
    }
    const headers = { "x-since-time": String(project.lcut) };
    if (Number(searchParams.get("sinceTime")) >= project.lcut) {
      const json = { "content-type": "application/json", "content-length": NO_UPDATE.length };
      response.writeHead(200, { ...headers, ...json }).end(NO_UPDATE);
      return;
    }
    if (!this.#sentAt.has(project.lcut))
      this.#sentAt.set(project.lcut, performance.timeOrigin + performance.now());
    this.#awaited.get(project.lcut)?.();
    response
      .writeHead(200, {
        ...headers,
        "content-type": project.contentType,
        "content-encoding": project.contentEncoding,
        "content-length": project.body.length,
      })
      .end(project.body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Returns the path of the config specs of a key, as SDKs request it. */
export function specPath(sdkKey: string, sinceTime = 0): string {
  const path = `/v2/download_config_specs/${sdkKey}.json`;
  return sinceTime > 0 ? `${path}?sinceTime=${sinceTime}` : path;
}
