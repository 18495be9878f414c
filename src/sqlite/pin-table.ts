import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import { Statements, transact } from "./database.ts";

/** Created when the file is opened: files written by older versions of the relay lack it. `seal` is the row's checksum. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS pins (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    seal BLOB NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
`;

/** The table `pins`: one row with the pins of all SDK keys. */
export class PinTable {
  readonly #db: DatabaseSync;
  readonly #statements: Statements;

  constructor(db: DatabaseSync) {
    db.exec(SCHEMA);
    this.#db = db;
    this.#statements = new Statements(db);
  }

  /** Returns undefined if there are none, or the row is corrupt. */
  read(): string | undefined {
    const { seal, body } = this.#statements.get("SELECT seal, body FROM pins") ?? {};
    if (!(seal instanceof Uint8Array && typeof body === "string")) return undefined;
    return checksum(body).equals(seal) ? body : undefined;
  }

  /** Returns false if the pins are not as expected. */
  replace(expected: string | undefined, text: string): boolean {
    return transact(this.#db, () => {
      if (this.read() !== expected) return false;
      this.#statements.run("INSERT OR REPLACE INTO pins VALUES (0, ?, ?)", checksum(text), text);
      return true;
    });
  }
}

function checksum(body: string): Buffer {
  return createHash("sha256").update(body).digest();
}
