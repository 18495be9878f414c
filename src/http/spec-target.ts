import type { ApiVersion } from "../specs/feed.ts";

/** What a URL of the spec endpoints asks for. */
export interface SpecTarget {
  readonly version: ApiVersion;
  /** The last path segment less `.json` or `.js`; empty where there is none. Not checked for its form. */
  readonly pathKey: string;
  /** 0 where it is absent or no number: the client gets everything. */
  readonly sinceTime: number;
  /** The query's `supports_proto`; undefined where it says nothing, and a header may. */
  readonly supportsProto: boolean | undefined;
}

const ROUTE = "/download_config_specs";
/** `/v1` or `/v2`. */
const VERSION_LENGTH = 3;

/**
 * Reads a URL, a path alone where the request had no Host, or gives undefined where it is none of the spec endpoints. On the path of every
 * request: no URL object, which would cost as much as all the rest.
 */
export function readSpecTarget(url: string): SpecTarget | undefined {
  const start = url[0] === "/" ? 0 : url.indexOf("/", url.indexOf("://") + 3);
  const version = url.startsWith("/v2", start) ? "v2" : "v1";
  if (version === "v1" && !url.startsWith("/v1", start)) return undefined;
  const afterRoute = start + VERSION_LENGTH + ROUTE.length;
  if (!url.startsWith(ROUTE, start + VERSION_LENGTH)) return undefined;
  const question = url.indexOf("?", afterRoute);
  const path = question < 0 ? url.slice(afterRoute) : url.slice(afterRoute, question);
  const pathKey = readPathKey(path);
  if (pathKey === undefined) return undefined;
  if (question < 0) return { version, pathKey, sinceTime: 0, supportsProto: undefined };
  const supportsProto = queryValue(url, question, "supports_proto");
  return {
    version,
    pathKey,
    sinceTime: readSinceTime(queryValue(url, question, "sinceTime")),
    supportsProto: supportsProto === undefined ? undefined : supportsProto === "true",
  };
}

/** A specsUrl with a trailing slash makes SDKs send `//key.json`. */
function readPathKey(path: string): string | undefined {
  if (path === "") return "";
  const slash = path.lastIndexOf("/");
  for (let i = 0; i <= slash; i++) if (path[i] !== "/") return undefined;
  if (slash < 0) return undefined;
  if (path.endsWith(".json")) return path.slice(slash + 1, -5);
  if (path.endsWith(".js")) return path.slice(slash + 1, -3);
  return path.slice(slash + 1);
}

function queryValue(url: string, question: number, name: string): string | undefined {
  for (let at = question; at >= 0; at = url.indexOf("&", at + 1)) {
    if (!url.startsWith(name, at + 1) || url[at + 1 + name.length] !== "=") continue;
    const end = url.indexOf("&", at + 1);
    return url.slice(at + 2 + name.length, end < 0 ? undefined : end);
  }
  return undefined;
}

/** An lcut that a client says it has, from a query or a body; 0 for none. */
export function readSinceTime(value: unknown): number {
  const sinceTime = typeof value === "number" || typeof value === "string" ? Number(value) : 0;
  return Number.isSafeInteger(sinceTime) && sinceTime > 0 ? sinceTime : 0;
}
