import { setTimeout as sleep } from "node:timers/promises";
import { type ApiVersion, type Encoding, PublishedSpecs } from "./published-specs.ts";
import { type Exchange, type Fault, type FaultScope, send } from "./upstream-faults.ts";
import { UpstreamListener, type UpstreamTls } from "./upstream-listener.ts";
import { type Answer, answer, jsonAnswer, type UpstreamRequest } from "./upstream-request.ts";

export interface UpstreamOptions {
  readonly tls?: UpstreamTls;
  /** Speaks only HTTP/2, in plaintext. */
  readonly isH2c?: boolean;
  /** By default any free one. */
  readonly port?: number;
  /** Its codings, preferred first; by default gzip, br and zstd. */
  readonly encodings?: readonly Encoding[];
}

/** A fake of Statsig's CDN on a free loopback port: correct by default, faulty on demand. */
export class Upstream implements AsyncDisposable {
  readonly #specs = new PublishedSpecs();
  readonly #listener: UpstreamListener;
  readonly #scheme: string;
  #faults: { fault: Fault; scope: FaultScope; left: number }[] = [];
  #requests: UpstreamRequest[] = [];
  #inFlight = 0;
  #maxInFlight = 0;

  constructor({ tls, isH2c, port = 0, encodings }: UpstreamOptions) {
    if (encodings !== undefined) this.#specs.encodings = encodings;
    this.#scheme = tls === undefined ? "http" : "https";
    this.#listener = new UpstreamListener(isH2c ? "h2c" : tls, (exchange) => void this.#serve(exchange));
    this.#listener.port = port;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.#listener.port}`;
  }

  get requests(): readonly UpstreamRequest[] {
    return this.#requests;
  }

  /** The largest number of requests in flight so far. */
  get maxInFlight(): number {
    return this.#maxInFlight;
  }

  get connections(): number {
    return new Set(this.#requests.map(({ clientPort }) => clientPort)).size;
  }

  /** Uses the payload's `time` as the lcut by default. */
  publish(sdkKey: string, version: ApiVersion, payload: object | string, lcut?: number): void {
    const text = typeof payload === "string" ? payload : JSON.stringify(payload);
    const time = typeof payload === "object" && "time" in payload ? Number(payload.time) : 0;
    this.#specs.put(`${version} ${sdkKey}`, Buffer.from(text), lcut ?? time);
  }

  /** Publishes a `statsig-br` body, for requests that support protobuf. */
  publishProto(sdkKey: string, bytes: Uint8Array, lcut: number): void {
    this.#specs.put(`proto ${sdkKey}`, bytes, lcut);
  }

  /** Makes the key unknown: 401. */
  forget(sdkKey: string): void {
    this.#specs.forget(sdkKey);
  }

  /** Adds a fault. If several match, the latest applies. Returns a function that removes it. */
  misbehave(fault: Fault, scope: FaultScope = {}): () => void {
    const entry = { fault, scope, left: scope.times ?? Number.POSITIVE_INFINITY };
    this.#faults.unshift(entry);
    return () => {
      this.#faults = this.#faults.filter((other) => other !== entry);
    };
  }

  behave(): void {
    this.#faults = [];
  }

  /** Returns the number of requests for a path, or for all paths that match a pattern. */
  count(path: string | RegExp): number {
    return this.#requests.filter((request) =>
      typeof path === "string" ? request.path === path : path.test(request.path),
    ).length;
  }

  forgetRequests(): void {
    this.#requests = [];
    this.#maxInFlight = this.#inFlight;
  }

  /** Refuses new connections and destroys the open ones. */
  async stop(): Promise<void> {
    await this.#listener.close();
  }

  /** Listens again, on the same port. */
  async restart(): Promise<void> {
    await this.#listener.open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #serve(exchange: Exchange): Promise<void> {
    const { request, response, hangUp } = exchange;
    this.#requests.push(request);
    this.#inFlight++;
    this.#maxInFlight = Math.max(this.#maxInFlight, this.#inFlight);
    response.once("close", () => this.#inFlight--);
    response.on("error", () => undefined);
    const { fault, scope } = this.#takeFault(request);
    if (scope.delayMs !== undefined) await sleep(scope.delayMs);
    await scope.until;
    // The client or stop() may have closed the connection meanwhile.
    await send(exchange, this.#right(request), fault).catch(() => hangUp("close"));
  }

  #takeFault(request: UpstreamRequest): { fault: Fault; scope: FaultScope } {
    const entry = this.#faults.find(({ scope, left }) => left > 0 && (scope.when?.(request) ?? true));
    if (entry === undefined) return { fault: { kind: "none" }, scope: {} };
    entry.left--;
    return entry;
  }

  #right(request: UpstreamRequest): Answer {
    const specs = this.#specs.answer(request);
    if (specs !== undefined) return specs;
    if (request.path.endsWith("/log_event"))
      return { ...jsonAnswer({ success: true, message: null }), status: 202 };
    if (request.path.includes("/get_id_lists")) return jsonAnswer({});
    return answer(404, "Not Found", { "content-type": "text/plain" });
  }
}

export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const upstream = new Upstream(options);
  await upstream.restart();
  return upstream;
}

/** Responds with this status. */
export const status = (code: number, body = "", headers: Readonly<Record<string, string>> = {}): Fault => ({
  kind: "edit",
  edit: () => answer(code, body, headers),
});

/** The headers of the correct response with other bytes: garbage, another key's specs, or half a document. */
export const body = (bytes: string | Uint8Array, headers: Readonly<Record<string, string>> = {}): Fault => ({
  kind: "edit",
  edit: () => answer(200, bytes, { "content-type": "application/json", ...headers }),
});
