import type { Clock } from "../clock.ts";

/** What is held and on its way into the backup. */
export interface BackupLag {
  readonly feeds: number;
  /** When the one that waits for longest began to, ms since the Unix epoch; undefined where none does. */
  readonly since: number | undefined;
}

/** Since when the backup is not known to have what is held of a feed; a newer version does not begin anew. */
export class BackupLags {
  readonly #clock: Clock;
  readonly #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  waits(id: string): void {
    this.#since.set(id, this.#since.get(id) ?? this.#clock.now());
  }

  /** What came after what is there now waits since now, at most. */
  caughtUp(id: string, { hasNewer }: { readonly hasNewer: boolean }): void {
    this.#since.delete(id);
    if (hasNewer) this.waits(id);
  }

  forget(id: string): void {
    this.#since.delete(id);
  }

  read(): BackupLag {
    let since: number | undefined;
    for (const each of this.#since.values()) since = Math.min(since ?? each, each);
    return { feeds: this.#since.size, since };
  }
}
