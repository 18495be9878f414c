import type { DatabaseShape } from "./database-check.ts";

/**
 * A group is kept as long as it has rows in `batch`, each of which is one chunk of events. They are in the order of
 * their ids, which is that of the puts.
 * `size` is what the row counts for in the bound. By the index, whoever takes, removes or adds up need not go
 * past the bodies.
 */
const SCHEMA = `
  CREATE TABLE event_group (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    identity TEXT NOT NULL
  ) STRICT;
  CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    group_id INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    events INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    size INTEGER NOT NULL,
    zstd INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
  CREATE INDEX batch_by_group ON batch (group_id, id, queued_at, events, bytes, size);
`;

export const spoolShape: DatabaseShape = {
  // "SFE1"
  applicationId: 0x53464531,
  version: 2,
  schema: SCHEMA,
  probe: `SELECT id, digest, identity FROM event_group LIMIT 0;
    SELECT id, group_id, queued_at, events, bytes, size, zstd, seal, body FROM batch LIMIT 0`,
  // Two relays that forward from one spool would send everything twice.
  exclusive: true,
};
