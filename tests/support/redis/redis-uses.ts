import { systemClock } from "../../../src/platform/clock.ts";
import type { RedisLogins } from "../../../src/redis/auth/logins.ts";
import { RedisBackup, type RedisBackupOptions } from "../../../src/redis/backup.ts";
import { RedisConnection } from "../../../src/redis/connection.ts";
import type { RedisEvent } from "../../../src/redis/events.ts";
import type { RedisOptions } from "../../../src/redis/options.ts";
import { eventually } from "../common/wait.ts";

/** Connects as a relay does, and records events. */
export class RedisUse implements AsyncDisposable {
  readonly events: RedisEvent[] = [];
  readonly connection: RedisConnection;

  constructor(options: RedisOptions, logins?: RedisLogins) {
    this.connection = new RedisConnection(options, systemClock, this.emit, logins);
  }

  readonly emit = (event: RedisEvent): void => {
    this.events.push(event);
  };

  backup(options: Partial<RedisBackupOptions> = {}): RedisBackup {
    return new RedisBackup({
      maxBytes: 64 * 1024 * 1024,
      redis: this.connection,
      schemas: ["v3"],
      doubleWriteLegacy: false,
      ttlMs: 60_000,
      isSoleKey: () => false,
      clock: systemClock,
      emit: this.emit,
      ...options,
    });
  }

  /** All that the events say but for which feed they are of, which is masked where it is shown. */
  words(): string {
    return JSON.stringify(this.events.map((event) => ({ ...event, feed: undefined })));
  }

  kinds(...ofInterest: RedisEvent["kind"][]): RedisEvent["kind"][] {
    return this.events.map(({ kind }) => kind).filter((kind) => ofInterest.includes(kind));
  }

  /** Begins and ends of outages. Several reasons of one outage count as one begin. */
  get outages(): RedisEvent["kind"][] {
    const kinds = this.kinds("redis_down", "redis_up");
    return kinds.filter((kind, at) => kind !== kinds[at - 1]);
  }

  /** Resolves when the event was emitted `times` times in total. */
  async untilEmitted(kind: RedisEvent["kind"], times = 1, withinMs = 20_000): Promise<void> {
    await eventually(
      () => {
        const found = this.kinds(kind).length;
        if (found < times)
          throw new Error(`${kind} was emitted ${found} times: ${JSON.stringify(this.events)}`);
      },
      { withinMs },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection[Symbol.asyncDispose]();
  }
}
