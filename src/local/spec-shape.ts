import type { DatabaseShape } from "./database-check.ts";

/** `seal` is the row's own checksum: SQLite has none. By the index, whoever adds up need not go past the bodies. */
const SCHEMA = `
  CREATE TABLE spec (
    feed TEXT PRIMARY KEY,
    sdk_key TEXT NOT NULL,
    lcut INTEGER NOT NULL,
    format TEXT NOT NULL,
    content_encoding TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    seal BLOB NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
  CREATE INDEX spec_by_use ON spec (used_at, sdk_key, bytes);
`;

/** The embedded backup. All in it can be had from upstream again. */
export const specShape: DatabaseShape = {
  // "SFP1"
  applicationId: 0x53465031,
  version: 1,
  schema: SCHEMA,
  probe: `SELECT feed, sdk_key, lcut, format, content_encoding, written_at, used_at, bytes, seal, body
    FROM spec LIMIT 0`,
  exclusive: false,
};
