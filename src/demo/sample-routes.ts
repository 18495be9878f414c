import type { IncomingMessage } from "node:http";
import { answerIdListFile } from "./answer-id-list-file.ts";
import { answerSpecs } from "./answer-specs.ts";
import { countEvents, readBody } from "./count-events.ts";
import type { RenderedRevision } from "./rendered-revision.ts";
import { jsonAnswer, notFound, type SampleAnswer, unauthorized } from "./sample-answer.ts";
import { idListManifest } from "./sample-id-list.ts";

/** What the routes need to know of the upstream, and tell it. */
export interface SampleShop {
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

export async function answer(request: IncomingMessage, shop: SampleShop): Promise<SampleAnswer> {
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
