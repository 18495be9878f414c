import { hash } from "node:crypto";
import type { Clock } from "../platform/clock.ts";
import { PasswordLogins, type RedisLogins } from "./auth/logins.ts";
import { RedisFailure, toRedisFailure } from "./errors.ts";
import type { EmitRedisEvent } from "./events.ts";
import { RedisKeys } from "./keys.ts";
import { RedisLink } from "./link.ts";
import { ExclusiveLink, LinkPool, type RedisCommands } from "./link-pool.ts";
import type { RedisOptions } from "./options.ts";
import { RedisPermissions } from "./permissions.ts";

/** For commands that send or receive the body of a config. */
interface BulkCommands extends RedisCommands {
  /**
   * Runs the task on one connection with no other commands in between, for WATCH, MULTI and EXEC. Rejects when the connection
   * breaks: a transaction is never continued on another one. Rejects with a `RedisFailure` on a Cluster.
   */
  exclusively<T>(task: (commands: RedisCommands) => Promise<T>): Promise<T>;
}

/**
 * The connections to Redis: one for small commands, with a fixed time limit, and others for large values, which may take as long
 * as data is transferred. Reports an outage from when one of the two kinds is down until both are up. Whatever Redis does, each
 * command ends within its time limit, and the relay reconnects forever.
 */
export class RedisConnection implements RedisCommands, AsyncDisposable {
  readonly options: RedisOptions;
  readonly logins: RedisLogins;
  readonly keys: RedisKeys;
  readonly bulk: BulkCommands;
  /** For what only the status page shows: a permission that it lacks is not reported. */
  readonly quiet: RedisCommands;
  /** The permissions that the Redis user lacks, as far as known. */
  readonly permissions: RedisPermissions;
  readonly #clock: Clock;
  readonly #emit: EmitRedisEvent;
  readonly #commands: LinkPool;
  readonly #bulk: LinkPool;
  readonly #exclusive: ExclusiveLink;
  readonly #upListeners: (() => void)[] = [];
  readonly #stopLogins: () => void;
  #wasUp = false;
  #downSince: number | undefined;
  #downReason: string | undefined;

  /** Starts connecting, as soon as there is a login. */
  constructor(
    options: RedisOptions,
    clock: Clock,
    emit: EmitRedisEvent,
    logins: RedisLogins = new PasswordLogins(options),
  ) {
    this.options = options;
    this.logins = logins;
    this.keys = new RedisKeys(options.keyPrefix);
    this.#clock = clock;
    this.#emit = emit;
    this.permissions = new RedisPermissions(this.keys, clock, emit);
    const common = {
      redis: options,
      logins,
      clock,
      onChange: () => this.#onChange(),
      onOtherReason: () => this.#onDownIfAny(),
      isResponding: () => this.#isResponding(),
    };
    this.#commands = new LinkPool({ ...common, kind: "commands", size: { min: 1, max: 1 } });
    this.quiet = this.#commands;
    this.#bulk = new LinkPool({ ...common, kind: "bulk", size: options.pool });
    this.#exclusive = new ExclusiveLink(
      () => new RedisLink({ ...common, kind: "bulk", onChange: () => {}, onOtherReason: () => {} }),
    );
    const pools = [this.#commands, this.#bulk, this.#exclusive];
    this.#stopLogins = logins.onChange(() => {
      for (const each of pools) each.logIn();
    });
    this.bulk = { ...this.#watched(this.#bulk), exclusively: (task) => this.#exclusively(task) };
  }

  /** Whether small commands can be sent. */
  get isUp(): boolean {
    return this.#commands.state === "up";
  }

  /** Calls the listener each time both kinds of connections are up, including the first time. */
  onUp(listener: () => void): void {
    this.#upListeners.push(listener);
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
      return toRedisFailure(error).kind === "refused";
    }
  }

  #onChange(): void {
    const pools = [this.#commands, this.#bulk];
    this.#onDownIfAny();
    if (pools.every((pool) => pool.state === "up")) this.#onAllUp();
    else if (pools.some((pool) => pool.state === "up")) for (const pool of pools) pool.reconnectNow();
  }

  #onAllUp(): void {
    if (this.#wasUp) return;
    this.#wasUp = true;
    this.permissions.tryAll();
    if (this.#downSince !== undefined) {
      this.#emit({ kind: "redis_up", downForMs: this.#clock.now() - this.#downSince });
      this.#downSince = undefined;
      this.#downReason = undefined;
    }
    for (const listener of this.#upListeners) listener();
  }

  #onDownIfAny(): void {
    const down = [this.#commands, this.#bulk].find((pool) => pool.state === "down");
    if (down !== undefined) this.#onDown(down.reason);
  }

  #onDown(reason: string): void {
    this.#wasUp = false;
    if (reason === this.#downReason) return;
    this.#downReason = reason;
    if (this.#downSince === undefined) {
      this.#downSince = this.#clock.now();
      this.#bulk.probe();
    }
    this.#emit({ kind: "redis_down", reason });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopLogins();
    await Promise.all(
      [this.#commands, this.#bulk, this.#exclusive].map((each) => each[Symbol.asyncDispose]()),
    );
  }
}

/** A Lua script, run by its digest if Redis has it. All its keys must be in one slot, so that it also runs on a Cluster. */
export class RedisScript {
  readonly #source: string;
  readonly #digest: string;

  constructor(source: string) {
    this.#source = source;
    this.#digest = hash("sha1", source, "hex");
  }

  /** Pass `redis.bulk` as `via` if an argument is large. */
  async run(
    redis: RedisConnection,
    keys: string | readonly string[],
    args: readonly (string | Buffer)[],
    via: RedisCommands = redis,
  ): Promise<unknown> {
    const names = typeof keys === "string" ? [keys] : keys;
    const rest = [String(names.length), ...names, ...args];
    // Not with large arguments: they would be sent twice if Redis does not know the script yet.
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
