import type { DropInRow } from "../support/drop-in/row.ts";

/** An entry that is in Redis before the relay starts. `1` and `2` are versions of the row's SDK key. */
export interface StoredEntry {
  readonly schema: "v1" | "v3" | "v4";
  readonly path?: "v1" | "v2";
  readonly format?: "json" | "proto";
  readonly version?: 1 | 2;
  /** What its config is, if not a whole one that names its SDK key. */
  readonly config?: "unnamed" | "truncated" | "empty" | "another key's";
  /** Its lcut, if not that of the config. */
  readonly lcut?: "none" | "next year" | "no number";
}

/** Who finds what in Redis when upstream fails. */
export interface ReadRow extends DropInRow {
  readonly stored: readonly StoredEntry[] | "a text" | "an early 2.x key" | "a manifest of 4.x";
  /** What the client requests; v2 JSON if not given. */
  readonly asks?: "v1" | "protobuf" | "ID lists";
  /** How upstream fails, if it is not unreachable. */
  readonly upstream?: 401 | 404 | 500 | "hangs";
  /** Whether the SDK key is listed in `--preload-sdk-keys`. */
  readonly isListed?: true;
  /** The version that the relay serves, or the status. */
  readonly gets: 1 | 2 | "protobuf 1" | 401 | 503;
}

const unchecked = { does: "does not serve it", subject: "what is read from Redis" } as const;
const otherKeys = { does: "does not serve it", subject: "a 4.x key that several SDK keys share" } as const;
const nothing = { does: "503", subject: "nothing cached and upstream failing" } as const;

export const READS: readonly ReadRow[] = [
  {
    name: "a 4.x entry",
    original: "serves it when upstream fails",
    ours: "same",
    stored: [{ schema: "v4" }],
    gets: 1,
  },
  {
    name: "a 4.x entry of v1",
    original: "serves it to clients of v1",
    ours: "same",
    stored: [{ schema: "v4", path: "v1" }],
    asks: "v1",
    gets: 1,
  },
  {
    name: "a 4.x entry of v2, for a client of v1",
    original: "401: v1 and v2 have keys of their own",
    ours: nothing,
    stored: [{ schema: "v4", path: "v2" }],
    asks: "v1",
    gets: 503,
  },
  {
    name: "a 3.x entry",
    original: "3.x serves it, 4.x looks only for its own key",
    ours: { does: "serves it", subject: "Redis keys that are read" },
    stored: [{ schema: "v3" }],
    gets: 1,
  },
  {
    name: "a 4.x entry newer than the 3.x one",
    original: "4.x serves its own",
    ours: "same",
    stored: [
      { schema: "v4", version: 2 },
      { schema: "v3", version: 1 },
    ],
    gets: 2,
  },
  {
    name: "a 3.x entry newer than the 4.x one",
    original: "4.x serves its own, the older one",
    ours: { does: "serves the newer one", subject: "Redis keys that are read" },
    stored: [
      { schema: "v4", version: 1 },
      { schema: "v3", version: 2 },
    ],
    gets: 2,
  },
  {
    name: "a damaged 4.x entry beside a 3.x one",
    original: "serves the damaged one",
    ours: { does: "serves the other one", subject: "what is read from Redis" },
    stored: [
      { schema: "v4", version: 2, config: "truncated" },
      { schema: "v3", version: 1 },
    ],
    gets: 1,
  },
  {
    name: "a 1.x entry",
    original: "1.x serves it, 4.x does not look for it",
    ours: nothing,
    stored: [{ schema: "v1", path: "v1" }],
    asks: "v1",
    gets: 503,
  },
  {
    name: "a 4.x entry that names no SDK key",
    original: "serves it to every SDK key with the same 20 characters",
    ours: otherKeys,
    stored: [{ schema: "v4", config: "unnamed" }],
    gets: 503,
  },
  {
    name: "a 4.x entry that names no SDK key, of a listed key",
    original: "serves it",
    ours: "same",
    stored: [{ schema: "v4", config: "unnamed" }],
    isListed: true,
    gets: 1,
  },
  {
    name: "a 4.x entry of another SDK key with the same 20 characters",
    original: "serves it",
    ours: otherKeys,
    stored: [{ schema: "v4", config: "another key's" }],
    gets: 503,
  },
  {
    name: "another SDK key's 4.x entry, of a listed key",
    original: "serves it",
    ours: otherKeys,
    stored: [{ schema: "v4", config: "another key's" }],
    isListed: true,
    gets: 503,
  },
  {
    name: "another SDK key's 4.x entry beside the key's 3.x one",
    original: "serves the other key's",
    ours: { does: "serves the key's own", subject: "a 4.x key that several SDK keys share" },
    stored: [
      { schema: "v4", version: 2, config: "another key's" },
      { schema: "v3", version: 1 },
    ],
    gets: 1,
  },
  {
    name: "a truncated config",
    original: "serves it",
    ours: unchecked,
    stored: [{ schema: "v4", config: "truncated" }],
    gets: 503,
  },
  {
    name: "an empty config",
    original: "401, as without an entry",
    ours: nothing,
    stored: [{ schema: "v4", config: "empty" }],
    gets: 503,
  },
  {
    name: "an entry without lcut",
    original: "serves it as version 0",
    ours: unchecked,
    stored: [{ schema: "v4", lcut: "none" }],
    gets: 503,
  },
  {
    name: "an entry whose lcut is no number",
    original: "fails to read it: 401",
    ours: nothing,
    stored: [{ schema: "v4", lcut: "no number" }],
    gets: 503,
  },
  {
    name: "an entry of next year",
    original: "serves it, and nothing else until then",
    ours: unchecked,
    stored: [{ schema: "v4", lcut: "next year" }],
    gets: 503,
  },
  {
    name: "a text under the key",
    original: "fails to read it: 401",
    ours: nothing,
    stored: "a text",
    gets: 503,
  },
  {
    name: "a key of early 2.x",
    original: "early 2.x serves it, later ones do not look for it",
    ours: { does: "503", subject: "keys of early 2.x" },
    stored: "an early 2.x key",
    asks: "v1",
    gets: 503,
  },
  {
    name: "no entry",
    original: "401",
    ours: nothing,
    stored: [],
    gets: 503,
  },
  {
    name: "protobuf, for a client of protobuf",
    original: "does not look for it: 401 unless there is JSON",
    ours: { does: "serves it", subject: "protobuf in Redis" },
    stored: [{ schema: "v4", format: "proto" }],
    asks: "protobuf",
    gets: "protobuf 1",
  },
  {
    name: "JSON, for a client of protobuf",
    original: "serves it",
    ours: "same",
    stored: [{ schema: "v4" }],
    asks: "protobuf",
    gets: 1,
  },
  {
    name: "protobuf, for a client of JSON",
    original: "401: a client of JSON cannot read it",
    ours: nothing,
    stored: [{ schema: "v4", format: "proto" }],
    gets: 503,
  },
  {
    name: "a manifest of ID lists under the 4.x key",
    original: "serves it to every SDK key with the same 20 characters",
    ours: otherKeys,
    stored: "a manifest of 4.x",
    asks: "ID lists",
    gets: 503,
  },
  {
    name: "upstream sends 500",
    original: "reads Redis",
    ours: "same",
    stored: [{ schema: "v4" }],
    upstream: 500,
    gets: 1,
  },
  {
    name: "upstream sends 404",
    original: "does not read Redis: 401",
    ours: { does: "reads Redis", subject: "when Redis is read" },
    stored: [{ schema: "v4" }],
    upstream: 404,
    gets: 1,
  },
  {
    name: "upstream sends 401 to a relay that has just started",
    original: "does not read Redis: 401",
    ours: { does: "serves the entry", subject: "401 from upstream for a cached SDK key" },
    stored: [{ schema: "v4" }],
    upstream: 401,
    gets: 1,
  },
  {
    name: "upstream hangs",
    original: "reads Redis once the request times out, after 30 s",
    ours: { does: "reads Redis after a second", subject: "when Redis is read" },
    stored: [{ schema: "v4" }],
    upstream: "hangs",
    gets: 1,
  },
];
