import type { DatabaseSync } from "node:sqlite";
import { SQLITE, sqliteResult } from "./sqlite-result.ts";

/** What our files of one kind look like. */
export interface DatabaseShape {
  /** Tells them from files of another kind, and of other programs. */
  readonly applicationId: number;
  /** Of the tables. A file of another version is set aside. */
  readonly version: number;
  /** Makes the tables. */
  readonly schema: string;
  /** Fails where the tables lack anything. */
  readonly probe: string;
  /** One relay alone has it open. */
  readonly exclusive: boolean;
}

/** The file is damaged, or not ours. */
export class UnfitFile extends Error {}

/** Throws {@link UnfitFile} unless the database is empty, or ours and sound. Changes nothing in it. */
export function checkDatabase(db: DatabaseSync, shape: DatabaseShape): void {
  if (isEmpty(db, shape)) return;
  checkTables(db, shape);
  checkPages(db);
}

/** Throws where it is not ours. In one transaction, since another relay may be making the table just now. */
function isEmpty(db: DatabaseSync, shape: DatabaseShape): boolean {
  db.exec("BEGIN");
  const applicationId = pragma(db, "application_id");
  const version = pragma(db, "user_version");
  const tables = tablesIn(db);
  db.exec("COMMIT");
  if (applicationId === shape.applicationId && version !== shape.version) {
    throw new UnfitFile(`it is of version ${version}, this relay's are of version ${shape.version}`);
  }
  if (applicationId !== shape.applicationId && (applicationId !== 0 || tables !== 0)) {
    throw new UnfitFile("it is another program's database");
  }
  return tables === 0;
}

export function tablesIn(db: DatabaseSync): unknown {
  return db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.["tables"];
}

function checkTables(db: DatabaseSync, { probe }: DatabaseShape): void {
  try {
    db.exec(probe);
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
