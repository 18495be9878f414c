import { gzipSync } from "node:zlib";
import {
  failed,
  type HttpAnswer,
  type HttpRow,
  httpRow,
  inCoding,
  NO_UPDATE,
  OK_V1,
  OK_V2,
  PROBE_OK,
  PROTOBUF,
  UNAUTHORIZED,
} from "../support/drop-in/http-row.ts";
import { FIRST_LCUT as LCUT } from "../support/upstream/published-key.ts";
import { KEY, KEY_HEADER } from "./http-keys.rows.ts";

const V1 = "/v1/download_config_specs";
const V2 = "/v2/download_config_specs";
const SPEC = `${V2}/${KEY}.json`;
const METHODS = "a method that a path does not have";
const VALIDATORS = "`ETag`, `If-None-Match`, `HEAD`";

const empty = (answer: HttpAnswer): HttpAnswer => ({ ...answer, body: "empty" });
const notAllowed = (method: string, path: string, allow: string): HttpRow =>
  httpRow(
    `${method} ${path.replace(KEY, "{key}")}`,
    path,
    { method },
    { status: 405, body: "error", headers: { "content-type": "application/json", allow } },
    ["404 error", METHODS],
  );

/** Methods of the routes, and paths that are no routes. */
export const METHOD_ROWS: readonly HttpRow[] = [
  httpRow("HEAD", SPEC, { method: "HEAD" }, empty(OK_V2), ["400", VALIDATORS]),
  httpRow("HEAD with sinceTime", `${SPEC}?sinceTime=${LCUT}`, { method: "HEAD" }, empty(NO_UPDATE), [
    "400",
    VALIDATORS,
  ]),
  httpRow(
    "HEAD of the health probe",
    "/v1/health",
    { method: "HEAD" },
    {
      ...empty(PROBE_OK),
      headers: { ...PROBE_OK.headers, "content-length": "2" },
    },
  ),
  ...["OPTIONS", "PUT", "DELETE", "PATCH"].map((method) => notAllowed(method, SPEC, "GET, HEAD, POST")),
  notAllowed("POST", "/v1/health", "GET, HEAD"),
  notAllowed("DELETE", "/v1/ready", "GET, HEAD"),
  notAllowed("GET", "/v1/log_event", "POST"),
  notAllowed("PUT", "/v1/get_id_lists", "GET, HEAD, POST"),
  httpRow(
    "POST /v2/stream_config_specs/{key}",
    `/v2/stream_config_specs/${KEY}`,
    { method: "POST" },
    { status: 405, body: "error", headers: { allow: "GET" } },
    ["404 error", "server-sent events"],
  ),
  httpRow("/v1/health", "/v1/health", {}, PROBE_OK),
  httpRow("/v1/ready", "/v1/ready", {}, PROBE_OK),
  httpRow("/v1/startup", "/v1/startup", {}, PROBE_OK),
  ...["/", "/health", "/v2/health", "/metrics", "/v1", "/v1/initialize", "/v1/check_gate"].map((path) =>
    httpRow(`GET ${path}`, path, {}, failed(404)),
  ),
  ...["/v1/initialize", "/v1/log_event_beacon", "/v1/sdk_exception", "/v2/log_event", "/v2/get_id_lists"].map(
    (path) => httpRow(`POST ${path}`, path, { method: "POST", body: "{}" }, failed(404)),
  ),
];

const JSON_BODY: readonly [string, string] = ["content-type", "application/json"];
const BODIES = "the body of `POST /v1/download_config_specs`";
const KEY_PLACE = "where the SDK key may be";
const POST_ENCODINGS = "`Content-Encoding` and `Content-Type` after a POST";

interface PostRequest {
  readonly path?: string;
  readonly body?: string | Uint8Array;
  readonly headers?: readonly (readonly [string, string])[];
}

const post = (
  name: string,
  { path = V1, body = "{}", headers = [KEY_HEADER, JSON_BODY] }: PostRequest,
  answer: HttpAnswer,
  difference?: readonly [string, string],
): HttpRow => httpRow(`POST: ${name}`, path, { method: "POST", headers, body }, answer, difference);

/** Config specs by POST, as the legacy Rust SDK asks. */
export const POST_ROWS: readonly HttpRow[] = [
  post("v1", {}, OK_V1),
  post("v2", { path: V2 }, OK_V2),
  post("a trailing slash", { path: `${V1}/` }, OK_V1),
  post("doubled slashes", { path: `/${V1}//` }, OK_V1, ["401", "repeated and trailing slashes"]),
  post("an equal sinceTime", { body: `{"sinceTime":${LCUT}}` }, NO_UPDATE),
  post("an older sinceTime", { body: `{"sinceTime":${LCUT - 1}}` }, OK_V1),
  post("sinceTime null", { body: '{"sinceTime":null}' }, OK_V1),
  post("sinceTime 2^63", { body: '{"sinceTime":9223372036854775808}' }, NO_UPDATE),
  post("further fields", { body: '{"statsigMetadata":{"sdkType":"rust"},"x":[1]}' }, OK_V1),
  post("sinceTime as a string", { body: `{"sinceTime":"${LCUT}"}` }, NO_UPDATE, ["422", BODIES]),
  post("a negative sinceTime", { body: '{"sinceTime":-1}' }, OK_V1, ["422", BODIES]),
  post("a fractional sinceTime", { body: '{"sinceTime":1.5}' }, OK_V1, ["422", BODIES]),
  post("an array", { body: "[]" }, OK_V1, ["422", BODIES]),
  post("no body", { body: "" }, OK_V1, ["400", BODIES]),
  post("no content type", { headers: [KEY_HEADER] }, OK_V1, ["404", BODIES]),
  post("text/plain", { headers: [KEY_HEADER, ["content-type", "text/plain"]] }, OK_V1, ["404", BODIES]),
  post("a charset", { headers: [KEY_HEADER, ["content-type", "application/json; charset=utf-8"]] }, OK_V1),
  post("no JSON", { body: "{" }, failed(400, "not a JSON object")),
  post(
    "gzip",
    { body: gzipSync("{}"), headers: [KEY_HEADER, JSON_BODY, ["content-encoding", "gzip"]] },
    failed(400),
  ),
  post("no key", { headers: [JSON_BODY] }, failed(400, "SDK key is missing")),
  post("the key in the path", { path: `${V1}/${KEY}.json`, headers: [JSON_BODY] }, OK_V1, ["404", KEY_PLACE]),
  post("an unknown key", { headers: [["statsig-api-key", "secret-unknown"], JSON_BODY] }, UNAUTHORIZED),
  post(
    "Accept-Encoding gzip",
    { headers: [KEY_HEADER, JSON_BODY, ["accept-encoding", "gzip"]] },
    inCoding(OK_V1, "gzip"),
  ),
  post(
    "Accept-Encoding br",
    { headers: [KEY_HEADER, JSON_BODY, ["accept-encoding", "br"]] },
    inCoding(OK_V1, "br"),
    ["4.1: 200 v1 in br, without Content-Encoding", POST_ENCODINGS],
  ),
  post(
    "protobuf",
    {
      path: V2,
      headers: [KEY_HEADER, JSON_BODY, ["statsig-supports-proto", "true"], ["accept-encoding", "statsig-br"]],
    },
    PROTOBUF,
    ["4.1: protobuf without Content-Encoding, as application/json", POST_ENCODINGS],
  ),
];

const NOT_READY = "a relay that is not ready";

/** Probes of a relay that has no data for a preloaded SDK key. */
export const NOT_READY_ROWS: readonly HttpRow[] = [
  httpRow("not ready: /v1/health", "/v1/health", {}, PROBE_OK),
  httpRow("not ready: /v1/startup", "/v1/startup", {}, PROBE_OK),
  httpRow("not ready: /v1/ready", "/v1/ready", {}, { status: 503 }, ["200 {}", NOT_READY]),
];

const many = Array.from({ length: 60 }, (_, at) => [`x-many-${at}`, "1"] as const);

const OWN_HEADERS = {
  "x-sfp-source": "upstream",
  "x-sfp-confirmed-at": /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/,
  "cache-control": "private, no-cache",
  vary: "accept-encoding, statsig-api-key, statsig-supports-proto",
};

/** Headers and lengths that HTTP clients and proxies use. */
export const HEADER_ROWS: readonly HttpRow[] = [
  httpRow("Range", SPEC, { headers: [["range", "bytes=0-9"]] }, OK_V2),
  httpRow("Expect: 100-continue", SPEC, { headers: [["expect", "100-continue"]] }, OK_V2),
  httpRow("Origin", SPEC, { headers: [["origin", "https://a.example"]] }, OK_V2),
  httpRow("60 headers", SPEC, { headers: many }, OK_V2),
  httpRow("a header of 4 KB", SPEC, { headers: [["x-long", "x".repeat(4_096)]] }, OK_V2),
  httpRow(
    "headers of proxies",
    SPEC,
    {
      headers: [
        ["x-forwarded-for", "10.0.0.1"],
        ["via", "1.1 a"],
      ],
    },
    OK_V2,
  ),
  httpRow("no Accept-Encoding, for headers of a CDN", SPEC, {}, { ...OK_V2, headers: OWN_HEADERS }, [
    "200 v2, without these headers",
    "`x-sfp-source`, `x-sfp-confirmed-at`, `Cache-Control`, `Vary`",
  ]),
  httpRow("If-None-Match: *", SPEC, { headers: [["if-none-match", "*"]] }, { status: 304, body: "empty" }, [
    "200 v2",
    VALIDATORS,
  ]),
  httpRow("a URL of 9,000 characters", `${SPEC}?x=${"x".repeat(9_000)}`, {}, failed(414), [
    "200 v2",
    "a URL above 8,000 characters",
  ]),
];
