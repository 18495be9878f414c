import type { DropInRow } from "../support/drop-in/row.ts";

/** A check of `upstream.test.ts`. */
export type UpstreamCheck =
  | "user-agent of specs"
  | "user-agent of protobuf"
  | "user-agent of ID lists"
  | "user-agent of log events"
  | "x-sfp-version"
  | "sinceTime"
  | "checksum"
  | "no sinceTime at first"
  | "supports_proto"
  | "no accept_deltas"
  | "deltas"
  | "ID lists"
  | "slashes of STATSIG_ENDPOINT"
  | "redirect"
  | "pooled"
  | "idle 0"
  | "idle timeout 0"
  | "pool notice"
  | "spacing"
  | "spacing spares clients"
  | "read timeout"
  | "read timeout in a body"
  | "request timeout"
  | "no request timeout"
  | "timeout 0"
  | "204 held"
  | "204 new"
  | "x-cache-hit held"
  | "400 and the backup"
  | "polls while failing"
  | "Retry-After"
  | "403 is polled on"
  | "no connection";

interface UpstreamRow extends DropInRow {
  readonly check: UpstreamCheck;
}

const same = (check: UpstreamCheck, original: string): UpstreamRow => ({
  name: check,
  check,
  original,
  ours: "same",
});

const differs = (check: UpstreamCheck, original: string, does: string, subject: string): UpstreamRow => ({
  name: check,
  check,
  original,
  ours: { does, subject },
});

const UPSTREAM_FAILING = "upstream failing";
const NOTHING_CACHED = "nothing cached and upstream failing";
const POOL = "`--http-connection-pool-max-idle-per-host`, `--http-connection-pool-idle-timeout-in-s`";

const REQUESTS: readonly UpstreamRow[] = [
  same("user-agent of specs", "User-Agent: statsig-forward-proxy/<version>"),
  same("user-agent of protobuf", "the same for protobuf"),
  same("user-agent of ID lists", "the same for ID lists"),
  same("user-agent of log events", "the same for log events"),
  same("x-sfp-version", "x-sfp-version: <version> on config specs and ID lists"),
  same("no sinceTime at first", "no sinceTime while nothing is cached"),
  same("sinceTime", "sinceTime is the lcut of the cached version"),
  differs(
    "checksum",
    "sends no checksum",
    "sends that of the cached version beside sinceTime",
    "`checksum` in requests to upstream",
  ),
  same("supports_proto", "supports_proto=true and statsig-supports-proto: true for a client of protobuf"),
  same("no accept_deltas", "accept_deltas of a client is not sent"),
  differs(
    "deltas",
    "--deltas-background-loop-enabled: asks STATSIG_ENDPOINT_DELTAS for deltas once a client accepts them",
    "asks STATSIG_ENDPOINT for them with the polls of config specs",
    "deltas",
  ),
  same("ID lists", "POST /v1/get_id_lists with {} and statsig-api-key, to STATSIG_ENDPOINT"),
  same("slashes of STATSIG_ENDPOINT", "slashes at the end of STATSIG_ENDPOINT do not matter to ID lists"),
  differs("redirect", "follows up to 10 redirects", "a redirect is a failure", "redirects of upstream"),
];

const OPTIONS: readonly UpstreamRow[] = [
  same("pooled", "connections are used again"),
  same("idle 0", "--http-connection-pool-max-idle-per-host 0: a connection for each request"),
  same("idle timeout 0", "--http-connection-pool-idle-timeout-in-s 0: a connection for each request"),
  differs("pool notice", "limits idle connections to the value", "no effect, and a line says so", POOL),
  same("spacing", "--background-poll-item-spacing-ms: at least this time between the starts of polls"),
  same("spacing spares clients", "the spacing does not delay the first request of a client"),
  same("read timeout", "--http-read-timeout-in-s limits the silence before the response"),
  same("read timeout in a body", "--http-read-timeout-in-s limits the silence within the response"),
  same("request timeout", "--http-request-timeout-in-s limits the whole request"),
  differs(
    "no request timeout",
    "a request ends after 30 s by default",
    "no limit while it makes progress",
    "`--http-request-timeout-in-s`",
  ),
  differs(
    "timeout 0",
    "every request times out at once",
    "0 counts as 1 s, and a line says so",
    "a timeout of 0 for requests to upstream",
  ),
];

const ANSWERS: readonly UpstreamRow[] = [
  same("204 held", "204 means no data: the cached version is served"),
  differs("204 new", "204 means no data: 401 to the client", "503", NOTHING_CACHED),
  same("x-cache-hit held", "x-cache-hit: true means no update"),
  differs(
    "400 and the backup",
    "400 to 499 except 401 and 403: Redis is not read, and the client gets 401",
    "the backup is read, and its version served",
    "400 to 499 from upstream",
  ),
  differs(
    "polls while failing",
    "backs off after each failure, up to 300 s",
    "polls once per interval",
    UPSTREAM_FAILING,
  ),
  differs("Retry-After", "ignored", "honored up to 60 s", UPSTREAM_FAILING),
  same("403 is polled on", "403 for a cached key: asked again after the interval, without backoff"),
  differs(
    "no connection",
    "one more try at once if there is no connection",
    "503, and the next request is the next try",
    UPSTREAM_FAILING,
  ),
];

export const UPSTREAM_ROWS: readonly UpstreamRow[] = [...REQUESTS, ...OPTIONS, ...ANSWERS];
