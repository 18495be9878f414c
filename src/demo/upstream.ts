import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import type { SampleProject } from "./model.ts";
import { companyListFile, companyListFileId, createManifest, projectAt } from "./project.ts";
import { type JsonCoding, RenderedRevision } from "./render.ts";

const defaultSdkKey = "secret-demo";

interface SampleUpstreamOptions {
  /** 0 picks a free port. */
  readonly port: number;
  readonly hostname: string;
  /** Interval of changes. With 0, only `change()` changes the project. */
  readonly changeEveryMs: number;
  /** The only SDK key that is accepted, "secret-demo" by default. */
  readonly sdkKey?: string;
  /** Called after each change of the project. */
  readonly onChange?: (before: SampleProject, after: SampleProject) => void;
}

/** Replaces Statsig's CDN and event endpoint. It serves one sample project, which changes regularly. */
export interface SampleUpstream extends AsyncDisposable {
  /** The base URL for a relay or an SDK, without a path. */
  readonly url: string;
  revision(): number;
  /** Publishes the next revision at once. */
  change(): void;
  /** Returns the number of events that were received. */
  eventCount(): number;
}

function send(response: ServerResponse, { status, headers, body }: SampleResponse): void {
  response.writeHead(status, { ...headers, "content-length": String(body.length) });
  response.end(body);
}

async function serve(request: IncomingMessage, response: ServerResponse, state: SampleState): Promise<void> {
  try {
    send(response, await route(request, state));
  } catch {
    // The client disconnected while its body was read, or its path is not a valid URL.
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
  const { port, hostname, changeEveryMs, sdkKey = defaultSdkKey, onChange } = options;
  let current = new RenderedRevision(projectAt(1, Date.now()), sdkKey);
  let events = 0;

  const change = () => {
    const before = current.project;
    // The lcut must grow even if two changes are in the same millisecond or the clock is set back.
    const timeMs = Math.max(Date.now(), before.timeMs + 1);
    current = new RenderedRevision(projectAt(before.revision + 1, timeMs), sdkKey);
    onChange?.(before, current.project);
  };
  const received = (count: number) => {
    events += count;
  };

  const server = createServer((request, response) => void serve(request, response, state));
  const url = await listen(server, port, hostname);
  const state: SampleState = { sdkKey, baseUrl: url, current: () => current, received };
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

/** The state of the upstream that its routes use. */
interface SampleState {
  readonly sdkKey: string;
  readonly baseUrl: string;
  current(): RenderedRevision;
  received(events: number): void;
}

function authorized(request: IncomingMessage, keyInPath: string | undefined, state: SampleState): boolean {
  return (request.headers["statsig-api-key"] ?? keyInPath) === state.sdkKey;
}

async function handleLogEvent(request: IncomingMessage, state: SampleState): Promise<SampleResponse> {
  const body = await readBody(request);
  if (body === undefined) return jsonResponse(413, { success: false, message: "Body is too large" });
  if (!authorized(request, undefined, state)) return unauthorized;
  const events = countEvents(body, request.headers["content-encoding"] ?? "identity");
  if (events === undefined) return jsonResponse(400, { success: false, message: "Body has no events" });
  state.received(events);
  return jsonResponse(202, { success: true });
}

const specsPath = /^\/(v1|v2)\/download_config_specs(?:\/+([^/]+)\.json)?$/;
const idListsPath = /^\/v1\/get_id_lists(?:\/+([^/]+)\.json)?$/;
const idListFilePath = /^\/v1\/download_id_list_file\/(.+)$/;

async function route(request: IncomingMessage, state: SampleState): Promise<SampleResponse> {
  const { method, headers } = request;
  const { pathname, searchParams: search } = new URL(`${state.baseUrl}${request.url ?? "/"}`);

  const [specs, version, specsKey] = specsPath.exec(pathname) ?? [];
  if (specs !== undefined && method === "GET") {
    if (!authorized(request, specsKey, state)) return unauthorized;
    return respondSpecs({ version: version === "v1" ? "v1" : "v2", search, headers }, state.current());
  }

  const [idLists, idListsKey] = idListsPath.exec(pathname) ?? [];
  if (idLists !== undefined && (method === "POST" || (method === "GET" && idListsKey !== undefined))) {
    if (!authorized(request, idListsKey, state)) return unauthorized;
    return jsonResponse(200, createManifest(state.baseUrl));
  }

  const [, fileId] = idListFilePath.exec(pathname) ?? [];
  // No key is required, since some SDKs download list files without one.
  if (fileId !== undefined && method === "GET") return respondIdListFile(fileId, headers.range);

  if (pathname === "/v1/log_event" && method === "POST") return handleLogEvent(request, state);
  return notFound;
}

/** A response without Content-Length, which is added when it is sent. SDKs need it for ID list files. */
interface SampleResponse {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
  readonly body: Buffer;
}

function jsonResponse(
  status: number,
  value: unknown,
  headers: SampleResponse["headers"] = {},
): SampleResponse {
  const body = Buffer.from(JSON.stringify(value));
  return { status, headers: { "content-type": "application/json", ...headers }, body };
}

function textResponse(status: number, text: string): SampleResponse {
  return { status, headers: { "content-type": "text/plain" }, body: Buffer.from(text) };
}

const unauthorized = textResponse(401, "Unauthorized");
const notFound = textResponse(404, "Not Found");

interface SpecQuery {
  readonly version: "v1" | "v2";
  readonly search: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
}

function acceptsProto({ version, search, headers }: SpecQuery, codings: ReadonlySet<string>): boolean {
  const supported = search.get("supports_proto") ?? headers["statsig-supports-proto"];
  return version === "v2" && supported === "true" && codings.has("statsig-br");
}

function bestJsonCoding(codings: ReadonlySet<string>): JsonCoding {
  if (codings.has("br")) return "br";
  return codings.has("gzip") ? "gzip" : "identity";
}

/** Responds with the whole project, or with `has_updates: false` if nothing is newer than `sinceTime`. */
function respondSpecs(query: SpecQuery, current: RenderedRevision): SampleResponse {
  const lcutMs = current.project.timeMs;
  const version = { "x-since-time": String(lcutMs) };
  const sinceTimeMs = Number(query.search.get("sinceTime") ?? 0);
  if (sinceTimeMs > 0 && sinceTimeMs >= lcutMs) return jsonResponse(200, { has_updates: false }, version);

  const vary = { ...version, vary: "accept-encoding" };
  const codings = parseAcceptEncoding(query.headers["accept-encoding"]);
  if (acceptsProto(query, codings)) {
    // SDKs parse a body as protobuf only if both headers say so.
    const proto = { "content-type": "application/octet-stream", "content-encoding": "statsig-br" };
    return { status: 200, headers: { ...vary, ...proto }, body: current.proto() };
  }
  const coding = bestJsonCoding(codings);
  const encoding = coding === "identity" ? undefined : { "content-encoding": coding };
  const headers = { ...vary, "content-type": "application/json", ...encoding };
  return { status: 200, headers, body: current.json(query.version, coding) };
}

/** Responds with an ID list file or a range of it. SDKs request only what was added, with `Range: bytes=N-`. */
function respondIdListFile(fileId: string, range: string | undefined): SampleResponse {
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

/** Returns the content codings of an Accept-Encoding header, without those that `q=0` excludes. */
function parseAcceptEncoding(header: string | undefined): ReadonlySet<string> {
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

/** Returns undefined if the body is too large. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    // The rest of a body that is too large is still read, so that the client gets a response and not a reset.
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

/** Returns the number of events in a log_event body, or undefined if the body is invalid. */
function countEvents(body: Buffer, coding: string): number | undefined {
  try {
    const batch: unknown = JSON.parse(decode(body, coding).toString());
    const events =
      typeof batch === "object" && batch !== null && "events" in batch ? batch.events : undefined;
    return Array.isArray(events) ? events.length : undefined;
  } catch {
    return undefined;
  }
}
