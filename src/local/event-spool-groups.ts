import { createHash } from "node:crypto";
import type { EventGroup } from "../log-events/event-queue.ts";
import { parseSdkKey } from "../specs/sdk-key.ts";
import type { Statements } from "./statements.ts";

/**
 * The groups of the spool, in SQL. The SDK key is kept as it is, since it is needed to forward the events after
 * a restart, and there is no other secret to encrypt it with: the mode of the file is what protects it.
 */
export class SpoolGroups {
  readonly #statements: Statements;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  /** The id of the group, made where there is none. */
  idOf(group: EventGroup): number {
    const identity = identityOf(group);
    const digest = digestOf(identity);
    const row = this.#statements.get("SELECT id FROM event_group WHERE digest = ?", digest);
    if (row !== undefined) return Number(row["id"]);
    const sql = "INSERT INTO event_group (digest, identity) VALUES (?, ?)";
    return Number(this.#statements.run(sql, digest, identity).lastInsertRowid);
  }

  /** Undefined where it is damaged, or not there. */
  read(id: number): EventGroup | undefined {
    const row = this.#statements.get("SELECT digest, identity FROM event_group WHERE id = ?", id);
    const identity = String(row?.["identity"]);
    const digest = row?.["digest"];
    if (!(digest instanceof Uint8Array) || !digestOf(identity).equals(digest)) return undefined;
    const [key, metadata, headers]: [string, string, [string, string][]] = JSON.parse(identity);
    const sdkKey = parseSdkKey(key);
    return sdkKey && { sdkKey, metadata, headers: Object.fromEntries(headers) };
  }

  /** Where there is no batch left of it. */
  removeEmpty(id: number): void {
    const sql =
      "DELETE FROM event_group WHERE id = ? AND NOT EXISTS (SELECT 1 FROM batch WHERE group_id = ?)";
    this.#statements.run(sql, id, id);
  }
}

/** The same for groups that say the same, whatever the order of the headers. */
function identityOf({ sdkKey, metadata, headers }: EventGroup): string {
  const sorted = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([sdkKey, metadata, sorted]);
}

const digestOf = (identity: string): Buffer => createHash("sha256").update(identity).digest();
