import type { DatabaseSync } from "node:sqlite";
import { SQLITE, sqliteResult } from "./sqlite-result.ts";

/** "SFP1": tells our files from those of other programs. */
export const APPLICATION_ID = 0x53465031;
/** Of the table. A file of another version is set aside: all in it can be had from upstream again. */
export const SCHEMA_VERSION = 1;

const COLUMNS = "feed, sdk_key, lcut, format, content_encoding, written_at, used_at, bytes, seal, body";

/** The file is damaged, or not ours. */
export class UnfitFile extends Error {}

/** Throws {@link UnfitFile} unless the database is empty, or ours and sound. Changes nothing in it. */
export function checkDatabase(db: DatabaseSync): void {
  if (isEmpty(db)) return;
  checkTable(db);
  checkPages(db);
}

/** Throws where it is not ours. In one transaction, since another relay may be making the table just now. */
function isEmpty(db: DatabaseSync): boolean {
  db.exec("BEGIN");
  const applicationId = pragma(db, "application_id");
  const version = pragma(db, "user_version");
  const tables = tablesIn(db);
  db.exec("COMMIT");
  if (applicationId === APPLICATION_ID && version !== SCHEMA_VERSION) {
    throw new UnfitFile(`it is of version ${version}, this relay's are of version ${SCHEMA_VERSION}`);
  }
  if (applicationId !== APPLICATION_ID && (applicationId !== 0 || tables !== 0)) {
    throw new UnfitFile("it is another program's database");
  }
  return tables === 0;
}

export function tablesIn(db: DatabaseSync): unknown {
  return db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.["tables"];
}

function checkTable(db: DatabaseSync): void {
  try {
    db.exec(`SELECT ${COLUMNS} FROM spec LIMIT 0`);
  } catch (error) {
    throw sqliteResult(error) === SQLITE.ERROR ? new UnfitFile((error as Error).message) : error;
  }
}

/** Goes through every page, at about a second per GB. */
function checkPages(db: DatabaseSync): void {
  const finding = pragma(db, "quick_check(1)");
  if (finding !== "ok") throw new UnfitFile(String(finding));
}

function pragma(db: DatabaseSync, name: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}

/** Whether the error says that the file itself is bad. */
export function isUnfit(error: unknown): error is Error {
  const result = sqliteResult(error);
  return error instanceof UnfitFile || result === SQLITE.CORRUPT || result === SQLITE.NOTADB;
}
