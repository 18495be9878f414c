import type { ApiVersion } from "../specs/feed.ts";
import { collapseSlashes } from "./request-path.ts";

/** The parts of a spec URL. */
export interface SpecTarget {
  readonly version: ApiVersion;
  /** The last path segment without `.json` or `.js`; empty if there is none. Not checked to be an SDK key. */
  readonly pathKey: string;
  /** 0 if absent or invalid: the client gets everything. */
  readonly sinceTime: number;
  /** The checksum of what the client holds; empty if the client does not send it. */
  readonly checksum: string;
  /** Whether the client can apply a delta to what it holds. */
  readonly acceptsDeltas: boolean;
  /** The query parameter `supports_proto`. Undefined if absent or neither true nor false: the header decides. */
  readonly supportsProto: boolean | undefined;
}

const ROUTE = "/download_config_specs";
const STREAM_ROUTE = "/stream_config_specs";
/** `/v1` or `/v2`. */
const VERSION_LENGTH = 3;

/**
 * Parses a URL, or a path if the request had no Host. Returns undefined if it is not a spec endpoint. This is on the hot
 * path: a URL object would cost as much as everything else.
 */
export function readSpecTarget(url: string): SpecTarget | undefined {
  return readTarget(url, ROUTE);
}

/** As {@link readSpecTarget}, for the streams of config specs. */
export function readStreamTarget(url: string): SpecTarget | undefined {
  return readTarget(url, STREAM_ROUTE);
}

function readTarget(url: string, route: string): SpecTarget | undefined {
  const start = url[0] === "/" ? 0 : url.indexOf("/", url.indexOf("://") + 3);
  const target = readTargetAt(url, start, route);
  if (target !== undefined || start < 0) return target;
  // A path with repeated slashes, with a trailing one, or with letters that need not be encoded.
  const question = url.indexOf("?", start);
  const path = question < 0 ? url.slice(start) : url.slice(start, question);
  const plain = collapseSlashes(path.includes("%") ? decodeOr(path, decodeURI) : path);
  if (plain === path) return undefined;
  return readTargetAt(question < 0 ? plain : plain + url.slice(question), 0, route);
}

/** Parses the path that begins at `start`, as it is usually written. */
function readTargetAt(url: string, start: number, route: string): SpecTarget | undefined {
  const version = url.startsWith("/v2", start) ? "v2" : "v1";
  if (version === "v1" && !url.startsWith("/v1", start)) return undefined;
  const afterRoute = start + VERSION_LENGTH + route.length;
  if (!url.startsWith(route, start + VERSION_LENGTH)) return undefined;
  const question = url.indexOf("?", afterRoute);
  const path = question < 0 ? url.slice(afterRoute) : url.slice(afterRoute, question);
  const key = readPathKey(version === "v2" ? withoutDictionary(path) : path);
  if (key === undefined) return undefined;
  const pathKey = key.includes("%") ? decodeOr(key, decodeURIComponent) : key;
  if (question < 0) return { version, pathKey, ...NO_QUERY };
  return {
    version,
    pathKey,
    sinceTime: readEncodedSinceTime(queryValue(url, question, "sinceTime")),
    checksum: readChecksum(url, question),
    acceptsDeltas: readFlag(queryValue(url, question, "accept_deltas")) ?? false,
    supportsProto: readFlag(queryValue(url, question, "supports_proto")),
  };
}

const NO_QUERY = { sinceTime: 0, checksum: "", acceptsDeltas: false, supportsProto: undefined } as const;

/** `/d/{dictionary}/{key}.json`: 3.x of the original proxy has config specs that are compressed by a dictionary of the client. */
const DICTIONARY = /^\/d\/[^/]+(?=\/)/;

/** Clients decode a response without a dictionary as well. */
function withoutDictionary(path: string): string {
  return path.startsWith("/d/") ? path.replace(DICTIONARY, "") : path;
}

/** Allows repeated slashes: a specsUrl with a trailing slash makes SDKs send `//key.json`. */
function readPathKey(path: string): string | undefined {
  if (path === "") return "";
  const slash = path.lastIndexOf("/");
  for (let i = 0; i <= slash; i++) if (path[i] !== "/") return undefined;
  if (slash < 0) return undefined;
  if (path.endsWith(".json")) return path.slice(slash + 1, -5);
  if (path.endsWith(".js")) return path.slice(slash + 1, -3);
  return path.slice(slash + 1);
}

/** Returns the text itself if it cannot be decoded. */
function decodeOr(text: string, decode: (text: string) => string): string {
  try {
    return decode(text);
  } catch {
    return text;
  }
}

/** Returns the first value of a query parameter as it was sent; "" if it has none. */
function queryValue(url: string, question: number, name: string): string | undefined {
  for (let at = question; at >= 0; at = url.indexOf("&", at + 1)) {
    if (!url.startsWith(name, at + 1)) continue;
    const next = url[at + 1 + name.length];
    if (next === undefined || next === "&") return "";
    if (next !== "=") continue;
    const end = url.indexOf("&", at + 1);
    return url.slice(at + 2 + name.length, end < 0 ? undefined : end);
  }
  return undefined;
}

/** Parses a flag as forms send it, in any case. A parameter without a value is true. */
function readFlag(value: string | undefined): boolean | undefined {
  if (value === "true") return true;
  switch (value === undefined ? undefined : decodeFormValue(value).toLowerCase()) {
    case "":
    case "on":
    case "yes":
    case "true":
      return true;
    case "off":
    case "no":
    case "false":
      return false;
    default:
      return undefined;
  }
}

/**
 * Returns the checksum that a client has, from the query of a URL; empty if there is none. Core SDKs percent-encode it twice
 * (docs/protocol.md, Config specs over HTTP). A plus sign stands for itself, since a checksum may be base64.
 */
export function readChecksum(url: string, question = url.indexOf("?")): string {
  const value = queryValue(url, question, "checksum") ?? "";
  return value.includes("%") ? decodeOr(decodeOr(value, decodeURIComponent), decodeURIComponent) : value;
}

function decodeFormValue(value: string): string {
  return decodeOr(value.replaceAll("+", " "), decodeURIComponent);
}

/**
 * Parses the lcut that a client has, from a body. Returns 0 if it is absent or not an unsigned 64-bit integer, which may begin
 * with a plus sign; and at most the largest safe integer, which is later than any version.
 */
export function readSinceTime(value: unknown): number {
  if (typeof value === "string") return readDigits(value.replace(/^\+/, "")) ?? 0;
  return typeof value === "number" ? limitSinceTime(value) : 0;
}

/** As {@link readSinceTime}, from a query. */
function readEncodedSinceTime(value: string | undefined): number {
  return value === undefined ? 0 : (readDigits(value) ?? readSinceTime(decodeFormValue(value)));
}

/** Returns undefined if the text is not only digits. */
function readDigits(text: string): number | undefined {
  let value = 0;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (digit >= 0 && digit <= 9) value = 10 * value + digit;
    else return undefined;
  }
  // As a double, the largest 64-bit integer is 2^64.
  return value === 2 ** 64 && BigInt(text) < 2n ** 64n ? Number.MAX_SAFE_INTEGER : limitSinceTime(value);
}

const ZERO = 0x30;

function limitSinceTime(value: number): number {
  if (value > Number.MAX_SAFE_INTEGER) return value < 2 ** 64 ? Number.MAX_SAFE_INTEGER : 0;
  return Number.isInteger(value) && value > 0 ? value : 0;
}
