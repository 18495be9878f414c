import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import { companyListFile, companyListFileId, idListManifest, projectAt } from "./project.ts";
import { type JsonCoding, RenderedRevision } from "./render.ts";

const defaultSdkKey = "secret-demo";

interface SampleUpstreamOptions {
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

/** What the routes need to know of the upstream, and tell it. */
interface SampleShop {
  readonly sdkKey: string;
  readonly baseUrl: string;
  current(): RenderedRevision;
  received(events: number): void;
}

function authorized(request: IncomingMessage, keyInPath: string | undefined, shop: SampleShop): boolean {
  return (request.headers["statsig-api-key"] ?? keyInPath) === shop.sdkKey;
}

async function answerLogEvent(request: IncomingMessage, shop: SampleShop): Promise<SampleAnswer> {
  const body = await readBody(request);
  if (body === undefined) return jsonAnswer(413, { success: false, message: "Body is too large" });
  if (!authorized(request, undefined, shop)) return unauthorized;
  const events = countEvents(body, request.headers["content-encoding"] ?? "identity");
  if (events === undefined) return jsonAnswer(400, { success: false, message: "Body has no events" });
  shop.received(events);
  return jsonAnswer(202, { success: true });
}

const specsPath = /^\/(v1|v2)\/download_config_specs(?:\/+([^/]+)\.json)?$/;
const idListsPath = /^\/v1\/get_id_lists(?:\/+([^/]+)\.json)?$/;
const idListFilePath = /^\/v1\/download_id_list_file\/(.+)$/;

async function answer(request: IncomingMessage, shop: SampleShop): Promise<SampleAnswer> {
  const { method, headers } = request;
  const { pathname, searchParams: search } = new URL(`${shop.baseUrl}${request.url ?? "/"}`);

  const [specs, version, specsKey] = specsPath.exec(pathname) ?? [];
  if (specs !== undefined && method === "GET") {
    if (!authorized(request, specsKey, shop)) return unauthorized;
    return answerSpecs({ version: version === "v1" ? "v1" : "v2", search, headers }, shop.current());
  }

  const [idLists, idListsKey] = idListsPath.exec(pathname) ?? [];
  if (idLists !== undefined && (method === "POST" || (method === "GET" && idListsKey !== undefined))) {
    if (!authorized(request, idListsKey, shop)) return unauthorized;
    return jsonAnswer(200, idListManifest(shop.baseUrl));
  }

  const [, fileId] = idListFilePath.exec(pathname) ?? [];
  // No key is asked for here: some SDKs fetch a manifest's urls without one.
  if (fileId !== undefined && method === "GET") return answerIdListFile(fileId, headers.range);

  if (pathname === "/v1/log_event" && method === "POST") return answerLogEvent(request, shop);
  return notFound;
}

/** What a route answers; whoever sends it adds Content-Length, which SDKs need for ID list files. */
interface SampleAnswer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly body: Buffer;
}

function jsonAnswer(status: number, value: unknown, headers: SampleAnswer["headers"] = {}): SampleAnswer {
  const body = Buffer.from(JSON.stringify(value));
  return { status, headers: { "content-type": "application/json", ...headers }, body };
}

function textAnswer(status: number, text: string): SampleAnswer {
  return { status, headers: { "content-type": "text/plain" }, body: Buffer.from(text) };
}

const unauthorized = textAnswer(401, "Unauthorized");
const notFound = textAnswer(404, "Not Found");

interface SpecQuery {
  readonly version: "v1" | "v2";
  readonly search: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
}

function wantsProto({ version, search, headers }: SpecQuery, codings: ReadonlySet<string>): boolean {
  const supported = search.get("supports_proto") ?? headers["statsig-supports-proto"];
  return version === "v2" && supported === "true" && codings.has("statsig-br");
}

function bestJsonCoding(codings: ReadonlySet<string>): JsonCoding {
  if (codings.has("br")) return "br";
  return codings.has("gzip") ? "gzip" : "identity";
}

/** download_config_specs: the whole project, or that nothing is newer than `sinceTime`. */
function answerSpecs(query: SpecQuery, current: RenderedRevision): SampleAnswer {
  const lcutMs = current.project.timeMs;
  const version = { "x-since-time": String(lcutMs) };
  const sinceTimeMs = Number(query.search.get("sinceTime") ?? 0);
  if (sinceTimeMs > 0 && sinceTimeMs >= lcutMs) return jsonAnswer(200, { has_updates: false }, version);

  const vary = { ...version, vary: "accept-encoding" };
  const codings = acceptedCodings(query.headers["accept-encoding"]);
  if (wantsProto(query, codings)) {
    // SDKs take a body for protobuf only where both of these say so.
    const proto = { "content-type": "application/octet-stream", "content-encoding": "statsig-br" };
    return { status: 200, headers: { ...vary, ...proto }, body: current.proto() };
  }
  const coding = bestJsonCoding(codings);
  const encoding = coding === "identity" ? undefined : { "content-encoding": coding };
  const headers = { ...vary, "content-type": "application/json", ...encoding };
  return { status: 200, headers, body: current.json(query.version, coding) };
}

/** An ID list file, or the part of it from `Range: bytes=N-`: SDKs come back only for what was added. */
function answerIdListFile(fileId: string, range: string | undefined): SampleAnswer {
  if (fileId !== companyListFileId) return notFound;
  const type = { "content-type": "text/plain", "accept-ranges": "bytes" };
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
  if (first === undefined) return { status: 200, headers: type, body: companyListFile };

  const size = companyListFile.length;
  const start = Number(first);
  const end = last ? Math.min(Number(last), size - 1) : size - 1;
  if (start > end) {
    return { status: 416, headers: { ...type, "content-range": `bytes */${size}` }, body: Buffer.alloc(0) };
  }
  const headers = { ...type, "content-range": `bytes ${start}-${end}/${size}` };
  return { status: 206, headers, body: companyListFile.subarray(start, end + 1) };
}

/** The content codings that an Accept-Encoding header offers, without those refused by `q=0`. */
function acceptedCodings(header: string | undefined): ReadonlySet<string> {
  const offers = (header ?? "").split(",").map((offer) =>
    offer
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/),
  );
  const accepted = offers.filter(([, weight]) => weight === undefined || !/^q=0(\.0*)?$/.test(weight));
  return new Set(accepted.map(([coding = ""]) => coding));
}

const maxBodyBytes = 16 * 1024 * 1024;

/** The request's body, or undefined where it is too large. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    // What is too much is still read, so that the client gets its answer rather than a reset.
    if (bytes <= maxBodyBytes) chunks.push(chunk);
  }
  return bytes <= maxBodyBytes ? Buffer.concat(chunks) : undefined;
}

function decode(body: Buffer, coding: string): Buffer {
  const limit = { maxOutputLength: maxBodyBytes };
  switch (coding) {
    case "gzip":
      return gunzipSync(body, limit);
    case "br":
      return brotliDecompressSync(body, limit);
    case "zstd":
      return zstdDecompressSync(body, limit);
    default:
      return body;
  }
}

/** How many events a log_event body holds; undefined where it can't be read as one. */
function countEvents(body: Buffer, coding: string): number | undefined {
  try {
    const batch: unknown = JSON.parse(decode(body, coding).toString());
    const named = typeof batch === "object" && batch !== null && "events" in batch ? batch.events : undefined;
    return Array.isArray(named) ? named.length : undefined;
  } catch {
    return undefined;
  }
}
