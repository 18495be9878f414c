import type { IncomingHttpHeaders } from "node:http";
import { acceptedCodings } from "./accepted-codings.ts";
import type { JsonCoding, RenderedRevision } from "./rendered-revision.ts";
import { jsonAnswer, type SampleAnswer } from "./sample-answer.ts";

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
export function answerSpecs(query: SpecQuery, current: RenderedRevision): SampleAnswer {
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
