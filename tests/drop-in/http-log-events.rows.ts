import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { ACCEPTED, failed, type HttpAnswer, type HttpRow, httpRow } from "../support/drop-in/http-row.ts";
import { KEY_HEADER } from "./http-keys.rows.ts";

const BATCH = JSON.stringify({ events: [{ eventName: "e", time: 1 }], statsigMetadata: { sdkType: "t" } });
const JSON_BODY: readonly [string, string] = ["content-type", "application/json"];
const CODINGS = "`Content-Encoding` of log events";
const SHAPES = "log events without an array `events`";
const TYPES = "log events";

interface Post {
  readonly path?: string;
  readonly body?: string | Uint8Array;
  readonly coding?: string;
  readonly headers?: readonly (readonly [string, string])[];
}

function log(
  name: string,
  { path = "/v1/log_event", body = BATCH, coding, headers = [KEY_HEADER, JSON_BODY] }: Post,
  answer: HttpAnswer,
  difference?: readonly [string, string],
): HttpRow {
  const coded = coding === undefined ? headers : [...headers, ["content-encoding", coding] as const];
  return httpRow(`log events: ${name}`, path, { method: "POST", headers: coded, body }, answer, difference);
}

/** 5 MiB is the limit of both, before and after decompression. */
const LARGE = `{"events":["${"x".repeat(6 * 1024 * 1024)}"]}`;

const NOT_UTF8 = Buffer.concat([
  Buffer.from('{"events":[{"eventName":"'),
  Buffer.from([0xff]),
  Buffer.from('"}]}'),
]);

export const LOG_EVENT_ROWS: readonly HttpRow[] = [
  log("plain", {}, ACCEPTED),
  log("no content type", { headers: [KEY_HEADER] }, ACCEPTED),
  log("gzip", { body: gzipSync(BATCH), coding: "gzip" }, ACCEPTED),
  log("GZIP", { body: gzipSync(BATCH), coding: "GZIP" }, ACCEPTED, ["400 error", CODINGS]),
  log("br", { body: brotliCompressSync(BATCH), coding: "br" }, ACCEPTED, ["400 error", CODINGS]),
  log("zstd", { body: zstdCompressSync(BATCH), coding: "zstd" }, ACCEPTED, ["400 error", CODINGS]),
  log("deflate", { body: deflateSync(BATCH), coding: "deflate" }, ACCEPTED, ["400 error", CODINGS]),
  log("plain, but named gzip", { coding: "gzip" }, failed(400, "not in the encoding")),
  log("no JSON", { body: "{" }, failed(400, "not a JSON object")),
  log("no body", { body: "" }, failed(400, "not a JSON object")),
  log("a text that is not UTF-8", { body: Buffer.from([0xff, 0xfe]) }, failed(400, "not a JSON object")),
  log("a text with bytes that are not UTF-8", { body: NOT_UTF8 }, ACCEPTED, ["400 error", TYPES]),
  log("no key", { headers: [JSON_BODY] }, failed(400, "SDK key is missing")),
  log(
    "the key as ?k=",
    { path: "/v1/log_event?k=secret-k", headers: [JSON_BODY] },
    failed(400, "is missing"),
  ),
  log("a malformed key", { headers: [["statsig-api-key", "a/b"]] }, failed(400, "is malformed"), [
    "202 accepted, and sent upstream",
    "a malformed SDK key",
  ]),
  log("an unknown key", { headers: [["statsig-api-key", "secret-unknown-events"]] }, ACCEPTED),
  log("an empty array", { body: '{"events":[]}' }, ACCEPTED),
  log("no events", { body: "{}" }, failed(400, "no array named events"), ["422", SHAPES]),
  log("events null", { body: '{"events":null}' }, failed(400, "no array named events"), ["422", SHAPES]),
  log("an array as the body", { body: "[]" }, failed(400, "not a JSON object"), ["422", SHAPES]),
  log("events that are texts", { body: '{"events":["a"]}' }, ACCEPTED, ["422", TYPES]),
  log("metadata that is a number", { body: '{"events":[],"statsigMetadata":1}' }, ACCEPTED, ["422", TYPES]),
  log("2 MB", { body: `{"events":["${"x".repeat(2 * 1024 * 1024)}"]}` }, ACCEPTED, [
    "413 by the nginx of its image",
    "nginx in the image",
  ]),
  log("6 MB", { body: LARGE }, failed(413)),
  log("6 MB after decompression", { body: gzipSync(LARGE), coding: "gzip" }, failed(413)),
  log("a trailing slash", { path: "/v1/log_event/" }, ACCEPTED),
  log("doubled slashes", { path: "//v1//log_event" }, ACCEPTED),
  log("/v1/rgstr", { path: "/v1/rgstr" }, ACCEPTED, ["404 error", "`POST /v1/rgstr`"]),
  log("/v1//rgstr/", { path: "/v1//rgstr/" }, ACCEPTED, ["404 error", "`POST /v1/rgstr`"]),
];

const LISTS: HttpAnswer = { status: 200, body: "{}", headers: { "content-type": "application/json" } };
const asLists = (
  name: string,
  path: string,
  method: string,
  headers: readonly (readonly [string, string])[],
) => [`ID lists: ${name}`, path, { method, headers, ...(method === "POST" && { body: "{}" }) }] as const;

const GET_LISTS = "`GET /v1/get_id_lists`";

/** Manifests of ID lists; upstream has none. */
export const ID_LIST_ROWS: readonly HttpRow[] = [
  httpRow(...asLists("POST", "/v1/get_id_lists", "POST", [KEY_HEADER, JSON_BODY]), LISTS),
  httpRow(...asLists("POST, trailing slash", "/v1/get_id_lists/", "POST", [KEY_HEADER]), LISTS),
  httpRow(...asLists("POST, doubled slashes", "//v1//get_id_lists", "POST", [KEY_HEADER]), LISTS),
  httpRow(
    ...asLists("POST without a key", "/v1/get_id_lists", "POST", []),
    failed(400, "SDK key is missing"),
  ),
  httpRow(...asLists("GET", "/v1/get_id_lists", "GET", [KEY_HEADER]), LISTS, ["404 error", GET_LISTS]),
  httpRow(
    ...asLists("GET with the key in the path", `/v1/get_id_lists/${KEY_HEADER[1]}.json`, "GET", []),
    LISTS,
    ["404 error", GET_LISTS],
  ),
];
