import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { type Encoded, type MetricPoint, readMetrics, readSpans, type SpanRecord } from "./otlp-messages.ts";

export interface OtlpTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Clients must present a certificate of the same authority. */
  readonly clientsToo?: boolean;
}

export interface Received {
  readonly signal: "metrics" | "traces";
  readonly protocol: "http/json" | "http/protobuf" | "grpc";
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly isCompressed: boolean;
  readonly points: readonly MetricPoint[];
  readonly spans: readonly SpanRecord[];
}

/** A collector that decodes what it receives and responds as the test says. */
export class OtlpReceiver implements AsyncDisposable {
  readonly url: string;
  readonly received: Received[] = [];
  /** A status of HTTP or gRPC; `"never"` for no response, `"drip"` for one that never ends, undefined for success. */
  behavior: number | "never" | "drip" | undefined;
  requests = 0;
  readonly #close: () => Promise<void>;

  constructor(url: string, close: () => Promise<void>) {
    this.url = url;
    this.#close = close;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  get points(): readonly MetricPoint[] {
    return this.received.flatMap(({ points }) => points);
  }

  get spans(): readonly SpanRecord[] {
    return this.received.flatMap(({ spans }) => spans);
  }

  take(body: Encoded, about: Omit<Received, "signal" | "points" | "spans">): void {
    const isMetrics = /metrics/i.test(about.path);
    this.received.push({
      signal: isMetrics ? "metrics" : "traces",
      points: isMetrics ? readMetrics(body) : [],
      spans: isMetrics ? [] : readSpans(body),
      ...about,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** Starts a collector for JSON and protobuf over HTTP. `port` lets it replace an earlier one. */
export async function startOtlpHttp({ tls, port = 0 }: { tls?: OtlpTls; port?: number } = {}) {
  const serve = (request: IncomingMessage, response: ServerResponse) =>
    void respond(receiver, request, response);
  const server: Server =
    tls === undefined
      ? createHttpServer(serve)
      : createHttpsServer({ ...tls, requestCert: true, rejectUnauthorized: tls.clientsToo === true }, serve);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const { port: actual } = server.address() as AddressInfo;
  const receiver = new OtlpReceiver(`${tls ? "https" : "http"}://127.0.0.1:${actual}`, async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  });
  return receiver;
}

async function respond(
  receiver: OtlpReceiver,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  receiver.requests++;
  response.on("error", () => undefined);
  const bytes = await buffer(request).catch(() => undefined);
  if (bytes === undefined || receiver.behavior === "never") return;
  if (receiver.behavior === "drip") {
    response.writeHead(200);
    const drops = setInterval(() => response.write(" "), 50);
    response.once("close", () => clearInterval(drops));
    return;
  }
  if (receiver.behavior !== undefined) {
    response.writeHead(receiver.behavior).end();
    return;
  }
  const { headers, url: path = "" } = request;
  const isCompressed = headers["content-encoding"] === "gzip";
  const body = isCompressed ? gunzipSync(bytes) : bytes;
  const isJson = headers["content-type"] === "application/json";
  const protocol = isJson ? "http/json" : "http/protobuf";
  receiver.take(isJson ? { json: body.toString() } : { proto: body }, {
    protocol,
    path,
    headers,
    isCompressed,
  });
  response.writeHead(200, { "content-type": headers["content-type"] }).end(isJson ? "{}" : "");
}
