import type { Clock } from "../platform/clock.ts";
import { RedisFailure } from "./errors.ts";
import type { EmitRedisEvent } from "./events.ts";
import type { RedisKeys } from "./keys.ts";

/** How long a denied command is not tried again. A permission that is given later is noticed after this time. */
const RETRY_MS = 30_000;

const NO_WRITES = "config specs can't be written to Redis";
const NO_ENTRIES = "config specs can't be read from Redis or written to it";
const BY_TRANSACTION =
  "config specs are written with WATCH and MULTI: one at a time, with more round trips, and not on a Redis Cluster";
const NO_NOTICES = "relays of a fleet learn of updates at their next poll instead of at once";
const NO_PROBE =
  "it is noticed only at the next update that Redis rejects writes, and removals by another relay are not noted";
const NO_NOTICE_OF_REMOVAL = "a relay may write config specs again that another one removed";
const NO_SHARED_POLLS = "relays with --fleet-polling can't share polls: each of them polls upstream";

/** What does not work if a command is denied. */
const COSTS: Readonly<Record<string, string>> = {
  EVALSHA: "scripts are sent in full instead of by digest",
  EVAL: `${BY_TRANSACTION}; ${NO_SHARED_POLLS}`,
  WATCH: `without EVAL, ${NO_WRITES}`,
  MULTI: `without EVAL, ${NO_WRITES}`,
  EXEC: `without EVAL, ${NO_WRITES}`,
  HSET: NO_WRITES,
  DEL: `${NO_WRITES} or deleted from it`,
  EXPIRE: `${NO_WRITES}, and expire there while relays still use them`,
  HGET: "config specs can't be read from Redis",
  HMGET: `config specs are read field by field; ${BY_TRANSACTION}`,
  HSTRLEN: `a corrupt or too large entry is noticed only when it is read; ${BY_TRANSACTION}`,
  TTL: "an unusable entry may be mistaken for a missing one",
  GET: NO_NOTICE_OF_REMOVAL,
  SETNX: NO_PROBE,
  SET: NO_SHARED_POLLS,
  TYPE: NO_SHARED_POLLS,
  PTTL: NO_SHARED_POLLS,
  PUBLISH: NO_NOTICES,
  SPUBLISH: NO_NOTICES,
  SUBSCRIBE: NO_NOTICES,
  SSUBSCRIBE: NO_NOTICES,
};

/** The permissions that the scripts need. Redis 7.0 does not say which of them is missing. */
const FLEET_SCRIPTS = "+get +set +type +pttl";
export const ENTRY_SCRIPT = "+hmget +hstrlen +ttl +del +hset +expire";

/** A permission that the Redis user lacks. */
interface MissingPermission {
  /** In the syntax of ACL SETUSER: `+eval`, `~statsig*`, `&statsig_forward_proxy::*`. */
  readonly permission: string;
  /** What does not work, or works less well, without it. */
  readonly cost: string;
}

interface Missing extends MissingPermission {
  readonly command: string;
}

/**
 * Learns from replies which permissions the Redis user lacks: querying them in advance would need further permissions. Reports
 * each missing permission once, and once more when it was given.
 */
export class RedisPermissions {
  readonly #keys: RedisKeys;
  readonly #clock: Clock;
  readonly #emit: EmitRedisEvent;
  readonly #missing = new Map<string, Missing>();
  /** When a denied command, or {@link ENTRY_SCRIPT}, may be tried again, on the monotonic clock. */
  readonly #deniedUntil = new Map<string, number>();

  constructor(keys: RedisKeys, clock: Clock, emit: EmitRedisEvent) {
    this.#keys = keys;
    this.#clock = clock;
    this.#emit = emit;
  }

  get missing(): readonly MissingPermission[] {
    return [...this.#missing.values()];
  }

  /** Returns false for 30 seconds after the command, or {@link ENTRY_SCRIPT}, was denied. */
  mayTry(command: string): boolean {
    return (this.#deniedUntil.get(command) ?? 0) <= this.#clock.elapsed();
  }

  /** Throws the failure that Redis would reply with if one of the commands was denied in the last 30 seconds. */
  check(...commands: readonly string[]): void {
    const denied = commands.find((command) => !this.mayTry(command));
    if (denied === undefined) return;
    throw new RedisFailure("refused", `the Redis user may not run ${denied}`, "NOPERM", "command");
  }

  /** Call this after a reconnect: the permissions, or the user, may have changed. */
  tryAll(): void {
    this.#deniedUntil.clear();
  }

  /** Settles as `reply` does, and learns from it. */
  async watch<T>(command: string, args: readonly (string | Buffer)[], reply: Promise<T>): Promise<T> {
    try {
      const value = await reply;
      if (this.#missing.size > 0) this.#onAllowed(command, args);
      return value;
    } catch (error) {
      throw error instanceof RedisFailure ? this.#onFailed(command, args, error) : error;
    }
  }

  /** Returns the failure, with the name of the command if that was denied. */
  #onFailed(command: string, args: readonly (string | Buffer)[], failure: RedisFailure): RedisFailure {
    const { denied } = failure;
    switch (denied) {
      case undefined:
        return failure;
      case "script": {
        const permission = this.#findScriptPermissions(args);
        this.#deniedUntil.set(permission, this.#clock.elapsed() + RETRY_MS);
        const isKnown = permission.split(" ").some((each) => this.#missing.has(each));
        const cost = permission === FLEET_SCRIPTS ? NO_SHARED_POLLS : BY_TRANSACTION;
        if (!isKnown) this.#add({ permission, cost, command });
        return failure;
      }
      case "command": {
        this.#deniedUntil.set(command, this.#clock.elapsed() + RETRY_MS);
        const cost = COSTS[command] ?? `${command} is not possible`;
        this.#add({ permission: `+${command.toLowerCase()}`, cost, command });
        const { kind, message, code } = failure;
        return new RedisFailure(kind, message.replace(/do this$/, `run ${command}`), code, denied);
      }
      case "key":
        this.#add({
          permission: this.#toKeyPattern(args),
          cost: this.#usesRelayKeys(args) ? `${NO_SHARED_POLLS}; ${NO_PROBE}` : NO_ENTRIES,
          command,
        });
        return failure;
      case "channel":
        this.#add({ permission: this.channels, cost: NO_NOTICES, command });
        return failure;
    }
  }

  /** The command succeeded, so every permission that it needs was given. */
  #onAllowed(command: string, args: readonly (string | Buffer)[]): void {
    this.#deniedUntil.delete(command);
    // EVALSHA makes EVAL unnecessary.
    const given =
      command === "EVALSHA"
        ? ["+evalsha", "+eval", this.#findScriptPermissions(args)]
        : [`+${command.toLowerCase()}`];
    if (command === "EVAL") given.push(this.#findScriptPermissions(args));
    for (const permission of [this.#toKeyPattern(args), this.channels])
      if (this.#missing.get(permission)?.command === command) given.push(permission);
    for (const permission of given) {
      if (this.#missing.delete(permission)) this.#emit({ kind: "redis_permission_given", permission });
    }
  }

  #add({ permission, cost, command }: Missing): void {
    if (this.#missing.has(permission)) return;
    this.#missing.set(permission, { permission, cost, command });
    this.#emit({ kind: "redis_permission_missing", permission, cost });
  }

  /** The permission for the channel of relays, in the syntax of ACL SETUSER. */
  get channels(): string {
    return `&${escapeGlob(this.#keys.ofRelays)}*`;
  }

  /** Returns the ACL pattern for the keys of a command. */
  #toKeyPattern(args: readonly (string | Buffer)[]): string {
    const { ofRelays, ofEntries } = this.#keys;
    return `~${escapeGlob(this.#usesRelayKeys(args) ? ofRelays : ofEntries)}*`;
  }

  #findScriptPermissions(args: readonly (string | Buffer)[]): string {
    return this.#usesRelayKeys(args) ? FLEET_SCRIPTS : ENTRY_SCRIPT;
  }

  #usesRelayKeys(args: readonly (string | Buffer)[]): boolean {
    return args.some((arg) => typeof arg === "string" && arg.startsWith(this.#keys.ofRelays));
  }
}

/** Escapes what is special in the patterns of ACL SETUSER. */
const escapeGlob = (text: string): string => text.replaceAll(/[*?[\\]/g, "\\$&");
