import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";

export type SqlRow = Record<string, SQLOutputValue>;

/** Statements of one database, each prepared once. */
export class Statements {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  run(sql: string, ...values: SQLInputValue[]): ReturnType<StatementSync["run"]> {
    return this.#of(sql).run(...values);
  }

  get(sql: string, ...values: SQLInputValue[]): SqlRow | undefined {
    return this.#of(sql).get(...values);
  }

  all(sql: string, ...values: SQLInputValue[]): SqlRow[] {
    return this.#of(sql).all(...values);
  }

  #of(sql: string): StatementSync {
    const statement = this.#prepared.get(sql) ?? this.#db.prepare(sql);
    this.#prepared.set(sql, statement);
    return statement;
  }
}
