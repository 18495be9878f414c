import {
  failed,
  type HttpAnswer,
  type HttpRow,
  httpRow,
  inCoding,
  NO_UPDATE,
  OK_V1,
  OK_V2,
  PROTOBUF,
} from "../support/drop-in/http-row.ts";
import { FIRST_LCUT as LCUT } from "../support/upstream/published-key.ts";
import { KEY } from "./http-keys.rows.ts";

const V2 = `/v2/download_config_specs/${KEY}.json`;
const CORE = "statsig-br, gzip, deflate, br";

type Headers = Readonly<Record<string, string>>;

const ask = (
  name: string,
  query: string,
  headers: Headers,
  answer: HttpAnswer,
  difference?: readonly [string, string],
): HttpRow => httpRow(name, `${V2}${query}`, { headers: Object.entries(headers) }, answer, difference);

const since = (name: string, query: string, answer: HttpAnswer): HttpRow =>
  ask(name, `?${query}`, {}, answer);

/** The version that a client has, from 4.3 on with `x-cache-hit` where there is nothing newer. */
export const SINCE_TIME_ROWS: readonly HttpRow[] = [
  since("an older sinceTime", `sinceTime=${LCUT - 1}`, OK_V2),
  since("an equal sinceTime", `sinceTime=${LCUT}`, NO_UPDATE),
  since("a newer sinceTime", `sinceTime=${LCUT + 1}`, NO_UPDATE),
  since("sinceTime 0", "sinceTime=0", OK_V2),
  since("sinceTime 1", "sinceTime=1", OK_V2),
  since("sinceTime that is no number", "sinceTime=abc", OK_V2),
  since("a negative sinceTime", "sinceTime=-1", OK_V2),
  since("a fractional sinceTime", `sinceTime=${LCUT}.5`, OK_V2),
  since("an empty sinceTime", "sinceTime=", OK_V2),
  since("sinceTime without a value", "sinceTime", OK_V2),
  since("sinceTime with an encoded plus sign", `sinceTime=%2B${LCUT}`, NO_UPDATE),
  since("sinceTime with a plus sign, which is a space", `sinceTime=+${LCUT}`, OK_V2),
  since("sinceTime with leading zeros", `sinceTime=00${LCUT}`, NO_UPDATE),
  since("sinceTime in scientific notation", "sinceTime=1.7e12", OK_V2),
  since("a hexadecimal sinceTime", `sinceTime=0x${LCUT.toString(16)}`, OK_V2),
  since("sinceTime 2^53", "sinceTime=9007199254740992", NO_UPDATE),
  since("sinceTime 2^63", "sinceTime=9223372036854775808", NO_UPDATE),
  since("sinceTime 2^64 - 1", "sinceTime=18446744073709551615", NO_UPDATE),
  since("sinceTime 2^64", "sinceTime=18446744073709551616", OK_V2),
  since("sinceTime twice: the first one counts", `sinceTime=5&sinceTime=${LCUT}`, OK_V2),
  since("sinceTime twice, the newer one first", `sinceTime=${LCUT}&sinceTime=5`, NO_UPDATE),
  since("sinceTime with a space", `sinceTime=%20${LCUT}`, OK_V2),
  since("sincetime in lower case", `sincetime=${LCUT}`, OK_V2),
  since("sinceTime after other parameters", `x=1&sinceTime=${LCUT}`, NO_UPDATE),
  ask("an equal sinceTime, another checksum", `?checksum=abc&sinceTime=${LCUT}`, {}, OK_V2, [
    "200 no update",
    "`checksum`",
  ]),
  ask("an equal sinceTime, gzip", `?sinceTime=${LCUT}`, { "accept-encoding": "gzip" }, NO_UPDATE),
];

const STRICT = "`Accept-Encoding`";
const AS_OFFERED: readonly [string, string] = ["200 protobuf in statsig-br", STRICT];

const proto = (name: string, query: string, said: string | undefined, answer: HttpAnswer): HttpRow =>
  ask(
    name,
    query,
    { "accept-encoding": CORE, ...(said !== undefined && { "statsig-supports-proto": said }) },
    answer,
  );

const V2_BR = inCoding(OK_V2, "br");

/** `supports_proto` in the query and the header. */
export const PROTOBUF_ROWS: readonly HttpRow[] = [
  proto("supports_proto=true", "?supports_proto=true", undefined, PROTOBUF),
  proto("supports_proto=True", "?supports_proto=True", undefined, PROTOBUF),
  proto("supports_proto=yes", "?supports_proto=yes", undefined, PROTOBUF),
  proto("supports_proto=on", "?supports_proto=on", undefined, PROTOBUF),
  proto("supports_proto without a value", "?supports_proto", undefined, PROTOBUF),
  proto("supports_proto= with an empty value", "?supports_proto=&sinceTime=5", undefined, PROTOBUF),
  proto("supports_proto=1", "?supports_proto=1", undefined, V2_BR),
  proto("supports_proto=1 leaves it to the header", "?supports_proto=1", "true", PROTOBUF),
  proto("supports_proto=false", "?supports_proto=false", undefined, V2_BR),
  proto("supports_proto=false overrides the header", "?supports_proto=false", "true", V2_BR),
  proto("supports_proto=off overrides the header", "?supports_proto=off", "true", V2_BR),
  proto("supports_proto=NO overrides the header", "?supports_proto=NO", "true", V2_BR),
  proto("the header true", "", "true", PROTOBUF),
  proto("the header TRUE", "", "TRUE", V2_BR),
  proto("the header 1", "", "1", V2_BR),
  proto("an equal sinceTime of protobuf", `?supports_proto=true&sinceTime=${LCUT}`, undefined, NO_UPDATE),
  proto("an older sinceTime of protobuf", `?supports_proto=true&sinceTime=${LCUT - 1}`, undefined, PROTOBUF),
  proto("accept_deltas without deltas", "?supports_proto=true&accept_deltas=true", undefined, PROTOBUF),
  ask("protobuf in statsig_br", "?supports_proto=true", { "accept-encoding": "statsig_br" }, PROTOBUF),
  ask("protobuf without Accept-Encoding", "?supports_proto=true", {}, OK_V2, AS_OFFERED),
  ask(
    "protobuf for a client of gzip",
    "?supports_proto=true",
    { "accept-encoding": "gzip" },
    inCoding(OK_V2, "gzip"),
    AS_OFFERED,
  ),
  ask("statsig-br without supports_proto", "", { "accept-encoding": "statsig-br" }, OK_V2),
  httpRow(
    "protobuf of v1, which upstream has not",
    `/v1/download_config_specs/${KEY}.json?supports_proto=true`,
    { headers: [["accept-encoding", CORE]] },
    inCoding(OK_V1, "br"),
  ),
];

const ONLY_3 = "paths that only 3.x has";
const BY_DICTIONARY = ["compressed by the dictionary in 3.x, 404 in 4.x", ONLY_3] as const;
const V2_DICTIONARY = `/v2/download_config_specs/d/dictionary-1/${KEY}.json`;

/** Paths that 3.x has and 4.x has not: one is for clients that have a compression dictionary. */
export const ONLY_3_ROWS: readonly HttpRow[] = [
  httpRow("a dictionary", V2_DICTIONARY, { headers: [] }, OK_V2, BY_DICTIONARY),
  httpRow(
    "a dictionary and an equal sinceTime",
    `${V2_DICTIONARY}?sinceTime=${LCUT}`,
    { headers: [] },
    NO_UPDATE,
    BY_DICTIONARY,
  ),
  httpRow("a dictionary of v1", V2_DICTIONARY.replace("v2", "v1"), { headers: [] }, failed(404)),
  httpRow("the summary of SDK keys", "/debug/sdk_summary", { headers: [] }, failed(404), [
    "SDK keys in 3.x, 404 in 4.x",
    ONLY_3,
  ]),
];

const MADE_HERE = "encodings";
const coded = (offer: string, coding: string | undefined, difference?: readonly [string, string]): HttpRow =>
  ask(`Accept-Encoding "${offer}"`, "", { "accept-encoding": offer }, inCoding(OK_V2, coding), difference);

const refused = (offer: string): HttpRow =>
  ask(
    `Accept-Encoding "${offer}"`,
    "",
    { "accept-encoding": offer },
    failed(406, "Accept-Encoding excludes every encoding"),
    ["200 v2", STRICT],
  );

/** Accept-Encoding. The original serves `br` up to 4.2; from 4.3 on it serves such a client plain JSON. */
export const ENCODING_ROWS: readonly HttpRow[] = [
  coded("gzip", "gzip"),
  coded("GZIP", "gzip"),
  coded("x-gzip", "gzip"),
  coded("br", "br"),
  coded("identity", undefined),
  coded("deflate", undefined),
  coded("", undefined),
  coded("gzip;q=0", undefined),
  coded("gzip;q=1, br;q=0", "gzip"),
  coded("plain_text", undefined),
  coded("*", "zstd", ["200 v2", MADE_HERE]),
  coded("zstd", "zstd", ["200 v2", MADE_HERE]),
  coded("gzip, zstd", "zstd", ["200 v2 in gzip", MADE_HERE]),
  coded("gzip, br;q=0.5", "gzip", ["200 v2 in br up to 4.2", STRICT]),
  coded("gzip;q=0.1, br", "br"),
  refused("identity;q=0"),
  refused("*;q=0"),
];
