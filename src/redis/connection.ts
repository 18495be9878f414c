import { createHash } from "node:crypto";
import type { Clock } from "../platform/clock.ts";
import { RedisFailure, redisFailure } from "./errors.ts";
import type { EmitRedisEvent } from "./events.ts";
import { RedisLink } from "./link.ts";
import { ExclusiveLink, LinkPool, type RedisCommands } from "./link-pool.ts";
import type { RedisOptions } from "./options.ts";
import { RedisPermissions } from "./permissions.ts";

/** Commands that carry the body of a config, or are answered with one. */
interface BulkCommands extends RedisCommands {
  /**
   * Runs the task on one connection with no other command in between, for WATCH, MULTI and EXEC. Fails with the
   * connection: a transaction never goes on over another one. Rejects with a `RedisFailure` on a Cluster.
   */
  exclusively<T>(task: (commands: RedisCommands) => Promise<T>): Promise<T>;
}

/**
 * Small commands have a connection of their own and a fixed time limit; those with large values have others, and
 * take as long as bytes move. Reports one outage, from when either of them is down until both are up. Never fatal:
 * whatever Redis does, a command fails in time, and connecting goes on for ever.
 */
export class RedisConnection implements RedisCommands, AsyncDisposable {
  readonly options: RedisOptions;
  readonly bulk: BulkCommands;
  /** What the Redis user may not do, as far as that is known. */
  readonly permissions: RedisPermissions;
  readonly #clock: Clock;
  readonly #emit: EmitRedisEvent;
  readonly #commands: LinkPool;
  readonly #bulk: LinkPool;
  readonly #exclusive: ExclusiveLink;
  readonly #onUp: (() => void)[] = [];
  #wasUp = false;
  #downSince: number | undefined;

  /** Connects from here on. */
  constructor(options: RedisOptions, clock: Clock, emit: EmitRedisEvent) {
    this.options = options;
    this.#clock = clock;
    this.#emit = emit;
    this.permissions = new RedisPermissions(clock, emit);
    const common = {
      redis: options,
      clock,
      onChange: () => this.#changed(),
      isResponding: () => this.#isResponding(),
    };
    this.#commands = new LinkPool({ ...common, kind: "commands", size: { min: 1, max: 1 } });
    this.#bulk = new LinkPool({ ...common, kind: "bulk", size: options.pool });
    this.#exclusive = new ExclusiveLink(() => new RedisLink({ ...common, kind: "bulk", onChange: () => {} }));
    this.bulk = { ...this.#watched(this.#bulk), exclusively: (task) => this.#exclusively(task) };
  }

  /** Whether small commands can be sent. */
  get isUp(): boolean {
    return this.#commands.state === "up";
  }

  /** Called each time that Redis becomes usable, for small commands and large values, the first time included. */
  onUp(listener: () => void): void {
    this.#onUp.push(listener);
  }

  send(command: string, args: readonly (string | Buffer)[]): Promise<unknown> {
    return this.#watched(this.#commands).send(command, args);
  }

  sendForBytes(command: string, args: readonly (string | Buffer)[]): Promise<unknown> {
    return this.#watched(this.#commands).sendForBytes(command, args);
  }

  async #exclusively<T>(task: (commands: RedisCommands) => Promise<T>): Promise<T> {
    if (this.options.address.kind === "cluster") {
      throw new RedisFailure("refused", "without EVAL, the relay can't write to a Redis Cluster");
    }
    return this.#exclusive.run((commands) => task(this.#watched(commands)));
  }

  #watched(commands: RedisCommands): RedisCommands {
    const { permissions } = this;
    return {
      send: (command, args) => permissions.watch(command, args, commands.send(command, args)),
      sendForBytes: (command, args) => permissions.watch(command, args, commands.sendForBytes(command, args)),
    };
  }

  async #isResponding(): Promise<boolean> {
    try {
      await this.#commands.send("PING", []);
      return true;
    } catch (error) {
      return redisFailure(error).kind === "refused";
    }
  }

  #changed(): void {
    const pools = [this.#commands, this.#bulk];
    const down = pools.find((pool) => pool.state === "down");
    if (down !== undefined) this.#wentDown(down.reason);
    if (pools.every((pool) => pool.state === "up")) this.#cameUp();
    else if (pools.some((pool) => pool.state === "up")) for (const pool of pools) pool.reconnectNow();
  }

  #cameUp(): void {
    if (this.#wasUp) return;
    this.#wasUp = true;
    this.permissions.tryAll();
    if (this.#downSince !== undefined) {
      this.#emit({ kind: "redis_up", downForMs: this.#clock.now() - this.#downSince });
      this.#downSince = undefined;
    }
    for (const listener of this.#onUp) listener();
  }

  #wentDown(reason: string): void {
    this.#wasUp = false;
    if (this.#downSince !== undefined) return;
    this.#downSince = this.#clock.now();
    this.#bulk.probe();
    this.#emit({ kind: "redis_down", reason });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [this.#commands, this.#bulk, this.#exclusive].map((each) => each[Symbol.asyncDispose]()),
    );
  }
}

/** A script on one key, or on keys of one slot, so that it runs on their node of a Cluster. Redis keeps it by its digest. */
export class RedisScript {
  readonly #source: string;
  readonly #digest: string;

  constructor(source: string) {
    this.#source = source;
    this.#digest = createHash("sha1").update(source).digest("hex");
  }

  /** `via`: `redis.bulk` if an argument is large. */
  async run(
    redis: RedisConnection,
    keys: string | readonly string[],
    args: readonly (string | Buffer)[],
    via: RedisCommands = redis,
  ): Promise<unknown> {
    const names = typeof keys === "string" ? [keys] : keys;
    const rest = [String(names.length), ...names, ...args];
    // A large argument is not to travel twice, because Redis does not know the script yet.
    if (via === redis && redis.permissions.mayTry("EVALSHA")) {
      try {
        return await via.send("EVALSHA", [this.#digest, ...rest]);
      } catch (error) {
        const mustSendSource =
          error instanceof RedisFailure && (error.code === "NOSCRIPT" || error.denied === "command");
        if (!mustSendSource) throw error;
      }
    }
    redis.permissions.check("EVAL");
    return via.send("EVAL", [this.#source, ...rest]);
  }
}
