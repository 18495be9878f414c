import type { DropInRow } from "../support/drop-in/row.ts";

/** An entry of `SFP_STARTUP_WARMUP_KEYS_JSON`, and what is fetched for it or why it is skipped. */
export interface WarmUpEntryRow extends DropInRow {
  readonly entry: unknown;
  /** The requests that upstream gets: method, path and query. */
  readonly fetches?: readonly string[];
  /** In the log line of the entry. */
  readonly skipped?: RegExp;
}

/** The value of the variable as a whole. */
export interface WarmUpValueRow extends DropInRow {
  readonly value: string;
  /** Log lines at the start; none if nothing is to be logged. */
  readonly logs: readonly RegExp[];
}

const same = (
  name: string,
  original: string,
  row: Pick<WarmUpEntryRow, "entry" | "fetches" | "skipped">,
): WarmUpEntryRow => ({ name, original, ...row, ours: "same" });

const V1 = "/v1/download_config_specs";
const V2 = "/v2/download_config_specs";
const FETCHED = "fetched at the start";
const SKIPPED = "skipped with a line; the others are fetched";

export const WARM_UP_ENTRY_ROWS: readonly WarmUpEntryRow[] = [
  same("v1 config specs", FETCHED, {
    entry: { sdk_key: "secret-warm-v1", path: V1 },
    fetches: [`GET ${V1}/secret-warm-v1.json`],
  }),
  same("v2 config specs", FETCHED, {
    entry: { sdk_key: "secret-warm-v2", path: V2, encodings: ["gzip"] },
    fetches: [`GET ${V2}/secret-warm-v2.json`],
  }),
  same("ID lists", FETCHED, {
    entry: { sdk_key: "secret-warm-lists", path: "/v1/get_id_lists" },
    fetches: ["POST /v1/get_id_lists"],
  }),
  {
    name: "statsig-br",
    original: "the JSON config is fetched with Accept-Encoding: statsig-br",
    ours: { does: "the protobuf config is fetched", subject: "`statsig-br` in the warm-up" },
    entry: { sdk_key: "secret-warm-proto", path: V2, encodings: ["statsig-br"] },
    fetches: [`GET ${V2}/secret-warm-proto.json?supports_proto=true`],
  },
  {
    name: "statsig-br and gzip",
    original: "the JSON config is fetched with Accept-Encoding: statsig-br, gzip",
    ours: { does: "both configs are fetched", subject: "`statsig-br` in the warm-up" },
    entry: { sdk_key: "secret-warm-both", path: V2, encodings: ["gzip", "statsig-br"] },
    fetches: [`GET ${V2}/secret-warm-both.json`, `GET ${V2}/secret-warm-both.json?supports_proto=true`],
  },
  same("statsig-br and gzip of v1", "the JSON config is fetched", {
    entry: { sdk_key: "secret-warm-v1-both", path: V1, encodings: ["gzip", "statsig-br"] },
    fetches: [`GET ${V1}/secret-warm-v1-both.json`],
  }),
  same("a path with the key of a URL", "only the beginning of the path counts", {
    entry: { sdk_key: "secret-warm-url", path: `${V2}/secret-warm-url.json` },
    fetches: [`GET ${V2}/secret-warm-url.json`],
  }),
  same("key that begins with client-", FETCHED, {
    entry: { sdk_key: "client-warm", path: V1 },
    fetches: [`GET ${V1}/client-warm.json`],
  }),
  same("key that begins with server-", FETCHED, {
    entry: { sdk_key: "server-warm", path: V1 },
    fetches: [`GET ${V1}/server-warm.json`],
  }),
  same("blanks around the key", "trimmed", {
    entry: { sdk_key: " secret-warm-trimmed ", path: V1 },
    fetches: [`GET ${V1}/secret-warm-trimmed.json`],
  }),
  same("slashes after the path", "ignored", {
    entry: { sdk_key: "secret-warm-slashes", path: ` ${V2}// ` },
    fetches: [`GET ${V2}/secret-warm-slashes.json`],
  }),
  same("unknown encodings", "the plain text is fetched", {
    entry: { sdk_key: "secret-warm-coding", path: V2, encodings: ["br", "nonsense"] },
    fetches: [`GET ${V2}/secret-warm-coding.json`],
  }),
  same("encodings null", "as without", {
    entry: { sdk_key: "secret-warm-null", path: V2, encodings: null },
    fetches: [`GET ${V2}/secret-warm-null.json`],
  }),
  same("unknown fields", "ignored", {
    entry: { sdk_key: "secret-warm-field", path: V2, priority: 1 },
    fetches: [`GET ${V2}/secret-warm-field.json`],
  }),
  same("no encodings in the list", SKIPPED, {
    entry: { sdk_key: "secret-warm-no-coding", path: V2, encodings: [] },
    skipped: /encodings is not a list/,
  }),
  same("encodings that are no texts", SKIPPED, {
    entry: { sdk_key: "secret-warm-number", path: V2, encodings: [1] },
    skipped: /encodings is not a list/,
  }),
  same("another prefix of the key", SKIPPED, {
    entry: { sdk_key: "bogus-warm-and-long-enough", path: V1 },
    skipped: /sdk_key=bogus-warm\*[0-9a-f]{6} .*begins with client-, secret-, server-/,
  }),
  same("an empty key", SKIPPED, { entry: { sdk_key: "", path: V1 }, skipped: /not an SDK key/ }),
  same("no key", SKIPPED, { entry: { path: V1 }, skipped: /not an object with the field .*sdk_key/ }),
  same("no path", SKIPPED, { entry: { sdk_key: "secret-warm-no-path" }, skipped: /path is missing/ }),
  same("another path", SKIPPED, {
    entry: { sdk_key: "secret-warm-path", path: "/v1/log_event" },
    skipped: /path is not supported/,
  }),
  same("a path that is no text", SKIPPED, {
    entry: { sdk_key: "secret-warm-path-2", path: 123 },
    skipped: /path is not a string/,
  }),
  same("an entry that is no object", SKIPPED, {
    entry: "secret-warm-text",
    skipped: /not an object with the field .*sdk_key/,
  }),
];

export const WARM_UP_VALUE_ROWS: readonly WarmUpValueRow[] = [
  {
    name: "malformed JSON",
    original: "logged and ignored as a whole",
    ours: "same",
    value: '[{"sdk_key": "secret-malformed-and-long",',
    logs: [/WARN +warm-up keys unreadable, ignored reason="not valid JSON"/],
  },
  {
    name: "no array",
    original: "logged and ignored as a whole",
    ours: "same",
    value: '{"sdk_key": "secret-object-and-long"}',
    logs: [/WARN +warm-up keys unreadable, ignored reason="not a JSON array"/],
  },
  { name: "blanks", original: "as if not set", ours: "same", value: "  ", logs: [] },
  {
    name: "an empty array",
    original: "a summary with zeros",
    ours: "same",
    value: "[]",
    logs: [/INFO +warm-up begins valid=0 invalid=0/],
  },
];

export const WARM_UP_READINESS: DropInRow = {
  name: "readiness during the warm-up, of which one entry fails",
  original: "opens its ports once each entry was tried",
  ours: {
    does: "opens its ports, and is ready once each entry was tried",
    subject: "warm-up and readiness",
  },
};
