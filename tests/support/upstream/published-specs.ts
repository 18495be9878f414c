import { brotliCompressSync, constants, gzipSync, zstdCompressSync } from "node:zlib";
import { readChecksum } from "./payload-checksum.ts";
import { type Answer, answer, jsonAnswer, type UpstreamRequest } from "./upstream-request.ts";

export type ApiVersion = "v1" | "v2";
export type Encoding = "gzip" | "br" | "zstd";

interface Published {
  readonly lcut: number;
  readonly bytes: Uint8Array;
  readonly isProto: boolean;
  /** Read when a request names a checksum. */
  checksum?: string;
  readonly compressed: Map<Encoding, Uint8Array>;
}

const compress: Record<Encoding, (bytes: Uint8Array) => Uint8Array> = {
  gzip: (bytes) => gzipSync(bytes),
  br: (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: (bytes) => zstdCompressSync(bytes),
};

const specsPath = /^\/+(v1|v2)\/download_config_specs(?:\/+([^/]+?)(?:\.json|\.js)?)?$/;

const offered = (request: UpstreamRequest): string[] =>
  String(request.headers["accept-encoding"] ?? "")
    .split(",")
    .map((coding) => coding.trim().split(";")[0] ?? "");

/** The specs of the upstream by SDK key, version and format, and its correct responses. */
export class PublishedSpecs {
  /** The codings of the upstream, preferred first. */
  encodings: readonly Encoding[] = ["zstd", "br", "gzip"];
  readonly #published = new Map<string, Published>();

  put(slot: string, bytes: Uint8Array, lcut: number): void {
    this.#published.set(slot, { lcut, bytes, isProto: slot.startsWith("proto "), compressed: new Map() });
  }

  forget(sdkKey: string): void {
    for (const slot of ["v1", "v2", "proto"]) this.#published.delete(`${slot} ${sdkKey}`);
  }

  /** Responds as Statsig's CDN; returns undefined for other paths than those of specs. */
  answer(request: UpstreamRequest): Answer | undefined {
    const [, version, keyInPath] = specsPath.exec(request.path) ?? [];
    if (version === undefined) return undefined;
    const sdkKey = String(request.headers["statsig-api-key"] ?? keyInPath ?? "");
    const proto =
      version === "v2" && wantsProto(request) ? this.#published.get(`proto ${sdkKey}`) : undefined;
    const json = this.#published.get(`${version} ${sdkKey}`);
    const found = proto ?? json;
    if (found === undefined) return answer(401, "Unauthorized", { "content-type": "text/plain" });
    const headers = { "x-since-time": String(found.lcut) };
    if (!isNews(found, request.query)) return jsonAnswer({ has_updates: false }, headers);
    if (proto !== undefined) return protoAnswer(proto, headers);
    return this.#compressed(found, request, { ...headers, "content-type": "application/json" });
  }

  #compressed(found: Published, request: UpstreamRequest, headers: Record<string, string>): Answer {
    const acceptable = offered(request);
    const encoding = this.encodings.find((candidate) => acceptable.includes(candidate));
    if (encoding === undefined) return answer(200, found.bytes, headers);
    const bytes = found.compressed.get(encoding) ?? compress[encoding](found.bytes);
    found.compressed.set(encoding, bytes);
    return answer(200, bytes, { ...headers, "content-encoding": encoding });
  }
}

/** Whether the client has an older version, or another content with the same lcut. */
function isNews(found: Published, query: URLSearchParams): boolean {
  const sinceTime = Number(query.get("sinceTime") ?? 0);
  if (sinceTime <= 0 || sinceTime < found.lcut) return true;
  const held = query.get("checksum");
  if (sinceTime > found.lcut || held === null) return false;
  found.checksum ??= readChecksum(found.bytes, found.isProto);
  return found.checksum !== "" && found.checksum !== held;
}

const wantsProto = (request: UpstreamRequest): boolean =>
  (request.query.get("supports_proto") ?? request.headers["statsig-supports-proto"]) === "true" &&
  offered(request).includes("statsig-br");

const protoAnswer = (found: Published, headers: Record<string, string>): Answer =>
  answer(200, found.bytes, {
    ...headers,
    "content-type": "application/octet-stream",
    "content-encoding": "statsig-br",
  });
