import {
  failed,
  type HttpAnswer,
  type HttpRow,
  httpRow,
  OK_V1,
  OK_V2,
  UNAUTHORIZED,
} from "../support/drop-in/http-row.ts";

/** Upstream knows this key. */
export const KEY = "secret-AbCdEfGhIjKlMnOpQr";

/** Upstream knows these as well. */
export const OTHER_KEYS = [
  "client-AbCdEf",
  "k",
  "secret:a:b",
  "secret.a.b",
  "secret-a.json",
  "k".repeat(200),
];

export const KEY_HEADER: readonly [string, string] = ["statsig-api-key", KEY];

const V1 = "/v1/download_config_specs";
const V2 = "/v2/download_config_specs";
const byHeader = { headers: [KEY_HEADER] };

const NO_KEY = "a request without an SDK key";
const KEY_PLACE = "where the SDK key may be";
const MALFORMED = "a malformed SDK key";
const SLASHES = "repeated and trailing slashes";
const ROUTES = "percent-encoding and dot segments in a path";
const missing = failed(400, "SDK key is missing");
const malformed = failed(400, "SDK key is malformed");

const get = (
  name: string,
  path: string,
  answer: HttpAnswer,
  difference?: readonly [string, string],
): HttpRow => httpRow(name, path, {}, answer, difference);

/** The SDK key in the path and in the header. */
export const KEY_ROWS: readonly HttpRow[] = [
  get("v1", `${V1}/${KEY}.json`, OK_V1),
  get("v2", `${V2}/${KEY}.json`, OK_V2),
  get("v3", `/v3/download_config_specs/${KEY}.json`, failed(404)),
  get("a key that ends in .js", `${V2}/${KEY}.js`, OK_V2),
  get("a bare key", `${V2}/${KEY}`, OK_V2),
  get("a client key", `${V2}/client-AbCdEf.json`, OK_V2),
  get("a key of one letter", `${V2}/k.json`, OK_V2),
  get("a key of 200 letters", `${V2}/${"k".repeat(200)}.json`, OK_V2),
  get("a key of 300 letters", `${V2}/${"k".repeat(300)}.json`, malformed, ["sent upstream", MALFORMED]),
  get("a key with colons", `${V2}/secret:a:b.json`, OK_V2),
  get("a key with dots", `${V2}/secret.a.b.json`, OK_V2),
  get("a key that ends in .json.json", `${V2}/secret-a.json.json`, OK_V2),
  get("a key that begins with a dot", `${V2}/..json`, malformed, ["sent upstream", MALFORMED]),
  get("a key with an umlaut", `${V2}/secret-%C3%A4.json`, malformed, ["sent upstream", MALFORMED]),
  get("a key with a space", `${V2}/secret%20a.json`, malformed, ["sent upstream", MALFORMED]),
  get("a key with a slash", `${V2}/secret%2Fa.json`, malformed, ["sent upstream", MALFORMED]),
  get("a key with a NUL", `${V2}/secret%00a.json`, malformed, ["sent upstream", MALFORMED]),
  get("a key with a broken encoding", `${V2}/secret%zz.json`, malformed, ["sent upstream", MALFORMED]),
  get("a percent-encoded key", `${V2}/${KEY.replace("-", "%2D")}.json`, OK_V2),
  get("a key all percent-encoded", `${V2}/${encodeAll(KEY)}.json`, OK_V2),
  get("an unknown key", `${V2}/secret-unknown.json`, UNAUTHORIZED),
  get("an unknown key, v1", `${V1}/secret-unknown.json`, UNAUTHORIZED),
  httpRow(
    "an unknown key, gzip",
    `${V1}/secret-unknown.json`,
    { headers: [["accept-encoding", "gzip"]] },
    {
      ...UNAUTHORIZED,
      headers: { ...UNAUTHORIZED.headers, "content-encoding": undefined },
    },
  ),
  get("an unknown key with sinceTime", `${V2}/secret-unknown.json?sinceTime=1700000000000`, UNAUTHORIZED),
  httpRow("the header alone", V1, byHeader, OK_V1, ["404", KEY_PLACE]),
  httpRow("the header alone, with a slash", `${V2}/`, byHeader, OK_V2, ["404", KEY_PLACE]),
  httpRow("the header and the path", `${V2}/secret-unknown.json`, byHeader, OK_V2),
  httpRow("the header in upper case", `${V2}/x.json`, { headers: [["STATSIG-API-KEY", KEY]] }, OK_V2),
  httpRow("a malformed header", `${V2}/${KEY}.json`, { headers: [["statsig-api-key", "a/b"]] }, malformed, [
    "sent upstream",
    MALFORMED,
  ]),
  httpRow("an empty header", `${V2}/${KEY}.json`, { headers: [["statsig-api-key", ""]] }, OK_V2, [
    "an empty key is sent upstream",
    NO_KEY,
  ]),
  get("no key", `${V2}/`, missing, ["404", NO_KEY]),
  get("no key and no slash", V1, missing, ["404", NO_KEY]),
  get("an empty key with an extension", `${V2}/.json`, missing, ["an empty key is sent upstream", NO_KEY]),
];

/** Slashes, dots and percent-encoding in the path, on every route. */
export const PATH_ROWS: readonly HttpRow[] = [
  get("a trailing slash", `${V2}/${KEY}.json/`, OK_V2, ["an empty key is sent upstream", SLASHES]),
  httpRow("a trailing slash and the header", `${V2}/${KEY}.json/`, byHeader, OK_V2),
  httpRow("two trailing slashes and the header", `${V2}/${KEY}.json//`, byHeader, OK_V2),
  get("two slashes before the key", `${V2}//${KEY}.json`, OK_V2),
  get("three slashes before the key", `${V2}///${KEY}.json?sinceTime=5`, OK_V2),
  get("two slashes at the start", `/${V2}/${KEY}.json`, OK_V2, ["401", SLASHES]),
  get("two slashes after the version", `/v2//download_config_specs/${KEY}.json`, OK_V2, ["401", SLASHES]),
  get("two slashes everywhere", `//v1//download_config_specs//${KEY}.json//`, OK_V1, ["401", SLASHES]),
  get("/v1/health/", "/v1/health/", { status: 200, body: "{}" }),
  get("//v1//health", "//v1//health", { status: 200, body: "{}" }),
  get("/v1/ready/", "/v1/ready/", { status: 200, body: "{}" }),
  get("/v1/startup//", "/v1/startup//", { status: 200, body: "{}" }),
  get("a segment too many", `${V2}/a/${KEY}.json`, failed(404)),
  get("the path in upper case", `/V2/Download_Config_Specs/${KEY}.json`, failed(404)),
  get("a percent-encoded route", `/v2/download%5Fconfig_specs/${KEY}.json`, OK_V2, [
    "the encoded path is sent upstream",
    ROUTES,
  ]),
  get("dot segments", `/v2/x/../download_config_specs/${KEY}.json`, OK_V2, ["404", ROUTES]),
];

function encodeAll(text: string): string {
  return Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
}
