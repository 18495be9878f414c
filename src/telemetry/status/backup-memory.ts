import type { Clock } from "../../clock.ts";
import type { LocalEvent } from "../../local/events.ts";
import type { RedisEvent } from "../../redis/events.ts";
import type { BackupUseEvent } from "../relay-event.ts";
import type { HappenedError } from "./feed-report.ts";
import { isoOf } from "./moment.ts";

/** Since when something is so, and why. */
export interface Condition {
  readonly since: number;
  readonly reason: string;
}

/** Remembers how the backup does, whichever it is. */
export class BackupMemory {
  readonly #clock: Clock;
  down: Condition | undefined;
  refusesWrites: Condition | undefined;
  unusable: Condition | undefined;
  /** What it costs that the Redis user lacks a permission, by permission. */
  readonly missingPermissions = new Map<string, Condition>();
  /** The last entry that could not be served. */
  unusableEntry: Condition | undefined;
  lastWriteAt: number | undefined;
  lastReadAt: number | undefined;
  lastErrorAt = 0;
  lastError: HappenedError | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  write(event: BackupUseEvent | LocalEvent | RedisEvent): void {
    switch (event.kind) {
      case "redis_down":
        this.down = this.#from(event.reason);
        return;
      case "redis_up":
        this.down = undefined;
        return;
      case "redis_refuses_writes":
        this.refusesWrites = this.#from(event.reason);
        return;
      case "redis_takes_writes":
        this.refusesWrites = undefined;
        return;
      case "redis_permission_missing":
        this.missingPermissions.set(event.permission, this.#from(event.cost));
        return;
      case "redis_permission_given":
        this.missingPermissions.delete(event.permission);
        return;
      case "redis_wrote":
        this.lastWriteAt = this.#clock.now();
        return;
      case "redis_read":
      case "redis_read_miss":
        this.lastReadAt = this.#clock.now();
        return;
      case "local_unusable":
        this.unusable = this.#from(event.detail);
        return;
      case "local_usable":
        this.unusable = undefined;
        return;
      case "backup_unusable":
        this.unusableEntry = this.#from(event.detail);
        this.#failed(event.detail);
        return;
      case "local_corrupt_set_aside":
      case "local_damage_replaced":
      case "backup_failed":
        this.#failed(event.detail);
        return;
      // What else there is of Redis' own is told as a failure of the backup.
      default:
    }
  }

  #failed(detail: string): void {
    this.lastErrorAt = this.#clock.now();
    this.lastError = { at: isoOf(this.lastErrorAt), detail };
  }

  #from(reason: string): Condition {
    return { since: this.#clock.now(), reason };
  }
}
