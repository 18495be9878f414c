import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { MAX_HISTORY_BYTES } from "../specs/backup.ts";
import { Statements, toOwnBuffer } from "./database.ts";

/**
 * Created when the file is opened: files written by older versions of the relay lack it. The triggers delete a history with its
 * version, also when a relay that knows nothing of histories deletes or replaces that. `seal` is the row's checksum.
 */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS spec_history (
    feed TEXT PRIMARY KEY,
    seal BLOB NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
  CREATE TRIGGER IF NOT EXISTS spec_history_deleted AFTER DELETE ON spec
    BEGIN DELETE FROM spec_history WHERE feed = OLD.feed; END;
  CREATE TRIGGER IF NOT EXISTS spec_history_replaced AFTER INSERT ON spec
    BEGIN DELETE FROM spec_history WHERE feed = NEW.feed; END;
`;

/** The table `spec_history`: what changed before the version that the table `spec` has of a feed. */
export class HistoryTable {
  readonly #statements: Statements;

  constructor(db: DatabaseSync) {
    db.exec(SCHEMA);
    this.#statements = new Statements(db);
  }

  /** Returns undefined if there is none, or one that is corrupt or too long. */
  read(feedDigest: string): Uint8Array<ArrayBuffer> | undefined {
    const sql = "SELECT seal, body FROM spec_history WHERE feed = ? AND length(body) <= ?";
    const row = this.#statements.get(sql, feedDigest, MAX_HISTORY_BYTES);
    const { seal, body } = row ?? {};
    if (!(seal instanceof Uint8Array && body instanceof Uint8Array)) return undefined;
    return checksum(feedDigest, body).equals(seal) ? toOwnBuffer(body) : undefined;
  }

  /** Call this after the version was written, which deletes the history of the one before. */
  write(feedDigest: string, history: Uint8Array): void {
    const sql = "INSERT INTO spec_history (feed, seal, body) VALUES (?, ?, ?)";
    this.#statements.run(sql, feedDigest, checksum(feedDigest, history), history);
  }
}

function checksum(feedDigest: string, history: Uint8Array): Buffer {
  return createHash("sha256").update(feedDigest).update(history).digest();
}
