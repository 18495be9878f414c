import type { DropInRow } from "../support/drop-in/row.ts";

/** A request for the file `company%2Flist`, whose 15 bytes are {@link FILE}. */
export interface FileRow extends DropInRow {
  /** Path and query; the SDK key is in the header unless `headers` says otherwise. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  readonly body?: string | RegExp;
  /** Headers of the response. */
  readonly answers?: Readonly<Record<string, string>>;
}

export const FILE = "+abc\n-def\n+ghi\n";

export const ID = "company%2Flist";
const PATH = `/v1/download_id_list_file/${ID}`;
const KEY = { "statsig-api-key": "secret-files" };

const JSON_ERRORS = "headers and errors of ID list files";

const same = (name: string, original: string, row: Omit<FileRow, "name" | "original" | "ours">): FileRow => ({
  name,
  original,
  ours: "same",
  ...row,
});

const refused = (name: string, row: Pick<FileRow, "path" | "headers" | "body">): FileRow => ({
  name,
  original: "400 with a reason as text",
  ours: { does: "400 with a reason as JSON", subject: JSON_ERRORS },
  status: 400,
  ...row,
});

export const FILE_ROWS: readonly FileRow[] = [
  same("the whole file", "200 with Accept-Ranges", {
    path: PATH,
    headers: KEY,
    status: 200,
    body: FILE,
    answers: { "accept-ranges": "bytes", "content-length": "15" },
  }),
  {
    name: "its content type",
    original: "application/octet-stream",
    ours: { does: "text/plain", subject: JSON_ERRORS },
    path: PATH,
    headers: KEY,
    status: 200,
    answers: { "content-type": "text/plain" },
  },
  same("the key in the query", "as in the header", {
    path: `${PATH}?k=secret-files`,
    status: 200,
    body: FILE,
  }),
  same("the key in both", "200 if they are equal", {
    path: `${PATH}?k=secret-files`,
    headers: KEY,
    status: 200,
    body: FILE,
  }),
  refused("two keys that differ", { path: `${PATH}?k=secret-other`, headers: KEY, body: /does not match/ }),
  refused("no key", { path: PATH, body: /SDK key is missing/ }),
  refused("no file", { path: "/v1/download_id_list_file/", headers: KEY, body: /ID of the file is missing/ }),
  same("Range: bytes=0-", "206", {
    path: PATH,
    headers: { ...KEY, range: "bytes=0-" },
    status: 206,
    body: FILE,
    answers: { "content-range": "bytes 0-14/15" },
  }),
  same("Range: bytes=5-", "206 with the rest", {
    path: PATH,
    headers: { ...KEY, range: "bytes=5-" },
    status: 206,
    body: FILE.slice(5),
    answers: { "content-range": "bytes 5-14/15", "accept-ranges": "bytes" },
  }),
  same("Range: bytes=15-", "416 with the size", {
    path: PATH,
    headers: { ...KEY, range: "bytes=15-", "statsig-id-list-file-size": "15" },
    status: 416,
    answers: { "content-range": "bytes */15", "accept-ranges": "bytes" },
  }),
  refused("Range: bytes=0-4", {
    path: PATH,
    headers: { ...KEY, range: "bytes=0-4" },
    body: /bytes=<start>-/,
  }),
  refused("Range: bytes=-4", { path: PATH, headers: { ...KEY, range: "bytes=-4" }, body: /bytes=<start>-/ }),
  refused("Range: bytes=0-,3-", {
    path: PATH,
    headers: { ...KEY, range: "bytes=0-,3-" },
    body: /bytes=<start>-/,
  }),
  refused("Range: items=0-", { path: PATH, headers: { ...KEY, range: "items=0-" }, body: /bytes=<start>-/ }),
  refused("Range: bytes=x-", { path: PATH, headers: { ...KEY, range: "bytes=x-" }, body: /bytes=<start>-/ }),
  same("the size of the file", "200", {
    path: PATH,
    headers: { ...KEY, "statsig-id-list-file-size": "15" },
    status: 200,
    body: FILE,
  }),
  refused("a size that is no number", {
    path: PATH,
    headers: { ...KEY, "statsig-id-list-file-size": "many" },
    body: /must be a whole number/,
  }),
  refused("a negative size", {
    path: PATH,
    headers: { ...KEY, "statsig-id-list-file-size": "-1" },
    body: /must be a whole number/,
  }),
  {
    name: "a file that upstream does not have",
    original: "401",
    ours: { does: "503 with Retry-After", subject: "a file of an ID list that cannot be had" },
    path: "/v1/download_id_list_file/missing",
    headers: KEY,
    status: 503,
  },
  {
    name: "a file that upstream refuses",
    original: "401",
    ours: { does: "503 with Retry-After", subject: "a file of an ID list that cannot be had" },
    path: "/v1/download_id_list_file/forbidden",
    headers: KEY,
    status: 503,
  },
  {
    name: "a range of an empty file",
    original: "416",
    ours: { does: "200", subject: "an empty file of an ID list" },
    path: "/v1/download_id_list_file/empty",
    headers: { ...KEY, range: "bytes=0-" },
    status: 200,
    body: "",
  },
  {
    name: "lines without + or -",
    original: "sent as they are",
    ours: { does: "503", subject: "files of ID lists on demand" },
    path: "/v1/download_id_list_file/nonsense",
    headers: KEY,
    status: 503,
  },
];

/** What the relay asks upstream for, or serves, over several requests. */
export type FileCheck =
  | "one request for many clients"
  | "path and query"
  | "range of the query"
  | "headers upstream"
  | "fetched again for a larger size"
  | "not fetched again at once"
  | "served while upstream fails"
  | "STATSIG_ENDPOINT for files"
  | "manifest URLs"
  | "default host"
  | "default host up to 4.2"
  | "observer"
  | "observer, other URLs"
  | "no observer"
  | "observer with --proxy-id-lists"
  | "no key with --proxy-id-lists"
  | "host of proxied files"
  | "deltas without supports_proto"
  | "deltas without sinceTime"
  | "deltas with sinceTime 0"
  | "deltas without a key"
  | "deltas";

interface FileCheckRow extends DropInRow {
  readonly check: FileCheck;
}

const sameCheck = (check: FileCheck, original: string): FileCheckRow => ({
  name: check,
  check,
  original,
  ours: "same",
});

const otherCheck = (check: FileCheck, original: string, does: string, subject: string): FileCheckRow => ({
  name: check,
  check,
  original,
  ours: { does, subject },
});

const DELTAS = "`/v2/download_config_specs_deltas`";

export const FILE_CHECK_ROWS: readonly FileCheckRow[] = [
  sameCheck("one request for many clients", "a file is fetched once"),
  sameCheck("path and query", "path and query go upstream as they came, with the signature"),
  otherCheck(
    "range of the query",
    "a range in the query goes upstream and cuts the file",
    "a range in the query is applied by the relay",
    "files of ID lists on demand",
  ),
  sameCheck("headers upstream", "User-Agent, x-sfp-version and the size; no SDK key"),
  sameCheck(
    "fetched again for a larger size",
    "a file that is shorter than the client knows is fetched again",
  ),
  sameCheck("not fetched again at once", "a fetch in vain is not repeated for 30 s"),
  sameCheck("served while upstream fails", "the copy is served"),
  sameCheck("STATSIG_ENDPOINT for files", "files come from STATSIG_ENDPOINT by default"),
  sameCheck("manifest URLs", "manifests keep their URLs"),
  sameCheck("default host", "ID lists come from https://api.statsigcdn.com by default"),
  otherCheck(
    "default host up to 4.2",
    "ID lists come from https://api.statsig.com by default",
    "ID lists come from https://api.statsigcdn.com by default",
    "default host of ID lists",
  ),
  sameCheck(
    "observer",
    "--id-list-file-refresh-observer-enabled: files of a manifest are fetched before clients ask",
  ),
  sameCheck(
    "observer, other URLs",
    "files with other paths than /v1/download_id_list_file and /idlists are skipped",
  ),
  sameCheck("no observer", "without it, no file is fetched before clients ask"),
  otherCheck(
    "observer with --proxy-id-lists",
    "no such option",
    "starts; files are proxied",
    "`--id-list-file-refresh-observer-enabled` with `--proxy-id-lists`",
  ),
  otherCheck(
    "no key with --proxy-id-lists",
    "no such option",
    "files without a key",
    "ID list files without an SDK key",
  ),
  sameCheck(
    "host of proxied files",
    "STATSIG_ENDPOINT_DOWNLOAD_ID_LIST_FILE replaces the host of a manifest's files",
  ),
  otherCheck("deltas without supports_proto", "400 as text", "400 as JSON", DELTAS),
  otherCheck("deltas without sinceTime", "400 as text", "400 as JSON", DELTAS),
  otherCheck("deltas with sinceTime 0", "400 as text", "400 as JSON", DELTAS),
  otherCheck("deltas without a key", "400", "400 as JSON", DELTAS),
  otherCheck(
    "deltas",
    "503 without --deltas-background-loop-enabled, 409 if nothing is cached",
    "406 without statsig-br, 503 if nothing is cached and upstream fails",
    DELTAS,
  ),
];
