/** The primary result codes of SQLite that make a difference here. */
export const SQLITE = { ERROR: 1, BUSY: 5, CORRUPT: 11, FULL: 13, NOTADB: 26 };

/** With what SQLite failed; undefined where the error is not SQLite's. */
export function sqliteResult(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
}
