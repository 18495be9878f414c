import type { Clock } from "../clock.ts";
import { parseLcut } from "../specs/payload.ts";
import type { Supervisor } from "../supervision/supervisor.ts";
import { VERSIONS_CHANNEL } from "./keys.ts";
import type { RedisConnection } from "./redis-connection.ts";
import { Subscriber } from "./subscriber.ts";

/** A feed, by its digest, has a new version in Redis. */
export type VersionListener = (feedDigest: string, lcut: number) => void;

/**
 * Tells other relays of new versions at once. A notice may get lost, as while a connection is made anew: who
 * listens looks for itself from time to time. On a Cluster they go by shard channels, which need Redis 7.
 */
export class RedisNotices implements AsyncDisposable {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #supervisor: Supervisor;
  readonly #listeners: VersionListener[] = [];
  #subscriber: Subscriber | undefined;

  constructor(redis: RedisConnection, clock: Clock, supervisor: Supervisor) {
    this.#redis = redis;
    this.#clock = clock;
    this.#supervisor = supervisor;
  }

  /** Whether notices get here just now. */
  get isListening(): boolean {
    return this.#subscriber?.isListening ?? false;
  }

  /** Of what this relay publishes, too. The first listener opens the connection. */
  listen(listener: VersionListener): void {
    this.#listeners.push(listener);
    this.#subscriber ??= new Subscriber({
      redis: this.#redis.options,
      permissions: this.#redis.permissions,
      channel: VERSIONS_CHANNEL,
      clock: this.#clock,
      supervisor: this.#supervisor,
      onMessage: (message) => this.#tell(message),
    });
  }

  async publish(feedDigest: string, lcut: number): Promise<void> {
    const command = this.#redis.options.address.kind === "cluster" ? "SPUBLISH" : "PUBLISH";
    await this.#redis.send(command, [VERSIONS_CHANNEL, `${feedDigest} ${lcut}`]);
  }

  #tell(message: string): void {
    const [, digest, version] = /^([\w-]{43}) (\d{1,16})$/.exec(message) ?? [];
    const lcut = parseLcut(Number(version));
    if (digest === undefined || lcut === undefined) return;
    for (const listener of this.#listeners) listener(digest, lcut);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#subscriber?.[Symbol.asyncDispose]();
  }
}
