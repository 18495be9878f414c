import type { Clock } from "../platform/clock.ts";
import { RedisFailure } from "./errors.ts";
import type { EmitRedisEvent } from "./events.ts";

/** A command that was denied is not tried again within this time, so that a permission given later is noticed. */
const RETRY_MS = 30_000;

const NO_WRITES = "config specs can't be written to Redis";
const BY_TRANSACTION =
  "config specs are written by WATCH and MULTI, one at a time, in more round trips, and not on a Cluster";
const NO_NOTICES = "relays of a fleet see updates at their next poll instead of at once";
const NO_LEADER = "original relays may write to Redis at the same time";

const NO_SHARED_POLLS = "relays with --fleet-polling can't share polls, each polls upstream";

/** What it costs if a command may not be run. */
const COSTS: Readonly<Record<string, string>> = {
  EVALSHA: "each script is sent whole instead of by its digest",
  EVAL: `${BY_TRANSACTION}; ${NO_SHARED_POLLS}`,
  WATCH: `without EVAL, ${NO_WRITES}`,
  MULTI: `without EVAL, ${NO_WRITES}`,
  EXEC: `without EVAL, ${NO_WRITES}`,
  HSET: NO_WRITES,
  DEL: `${NO_WRITES} nor deleted from there`,
  EXPIRE: `${NO_WRITES}, and expire under running relays`,
  HGET: "config specs can't be read from Redis",
  HMGET: `config specs are read field by field; ${BY_TRANSACTION}`,
  HSTRLEN: `an entry of Redis that is damaged or too large is noticed only when it is read; ${BY_TRANSACTION}`,
  TTL: "an unusable entry of Redis may be taken for a missing one",
  GET: NO_LEADER,
  SETNX: NO_LEADER,
  SET: NO_SHARED_POLLS,
  TYPE: NO_SHARED_POLLS,
  PTTL: NO_SHARED_POLLS,
  PUBLISH: NO_NOTICES,
  SPUBLISH: NO_NOTICES,
  SUBSCRIBE: NO_NOTICES,
  SSUBSCRIBE: NO_NOTICES,
};

/** What the scripts of a fleet, and the one for entries, do. Redis 7.0 does not say which of these is missing. */
const FLEET_SCRIPTS = "+get +set +type +pttl";
export const ENTRY_SCRIPT = "+hmget +hstrlen +ttl +del +hset +expire";
const CHANNELS = "&statsig_forward_proxy::*";
const RELAY_KEYS = "statsig_forward_proxy::";

/** What the Redis user lacks. */
interface MissingPermission {
  /** In the words of ACL SETUSER: `+eval`, `~statsig*`, `&statsig_forward_proxy::*`. */
  readonly permission: string;
  /** What does not work, or works less well, without it. */
  readonly cost: string;
}

interface Missing extends MissingPermission {
  readonly command: string;
}

/**
 * Learns from the answers of Redis what its user may not do: asking in advance would need permissions of its own. Reports each
 * missing permission once, and once when it was given.
 */
export class RedisPermissions {
  readonly #clock: Clock;
  readonly #emit: EmitRedisEvent;
  readonly #missing = new Map<string, Missing>();
  /** By command; what is over counts as allowed. */
  readonly #deniedUntil = new Map<string, number>();

  constructor(clock: Clock, emit: EmitRedisEvent) {
    this.#clock = clock;
    this.#emit = emit;
  }

  get missing(): readonly MissingPermission[] {
    return [...this.#missing.values()];
  }

  /** False for some time after the command, or {@link ENTRY_SCRIPT}, was denied: there may be another way. */
  mayTry(command: string): boolean {
    return (this.#deniedUntil.get(command) ?? 0) <= this.#clock.elapsed();
  }

  /** Throws what Redis would answer if one of the commands was denied a moment ago. */
  check(...commands: readonly string[]): void {
    const denied = commands.find((command) => !this.mayTry(command));
    if (denied === undefined) return;
    throw new RedisFailure("refused", `the Redis user may not run ${denied}`, "NOPERM", "command");
  }

  /** After a reconnect the user may be another. */
  tryAll(): void {
    this.#deniedUntil.clear();
  }

  /** Passes the answer on, and learns from it. */
  async watch<T>(command: string, args: readonly (string | Buffer)[], answer: Promise<T>): Promise<T> {
    try {
      const value = await answer;
      if (this.#missing.size > 0) this.#allowed(command, args);
      return value;
    } catch (error) {
      throw error instanceof RedisFailure ? this.#denied(command, args, error) : error;
    }
  }

  /** The failure, which names the command if that was denied. */
  #denied(command: string, args: readonly (string | Buffer)[], failure: RedisFailure): RedisFailure {
    const { denied } = failure;
    switch (denied) {
      case undefined:
        return failure;
      case "script": {
        const permission = inScript(args);
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
        this.#add({ permission: keysIn(args), cost: "what is kept under these keys can't be used", command });
        return failure;
      case "channel":
        this.#add({ permission: CHANNELS, cost: NO_NOTICES, command });
        return failure;
    }
  }

  /** It was answered without a failure, so nothing that it needs is missing. */
  #allowed(command: string, args: readonly (string | Buffer)[]): void {
    this.#deniedUntil.delete(command);
    // With the digest of a script, its source is not needed.
    const given =
      command === "EVALSHA" ? ["+evalsha", "+eval", inScript(args)] : [`+${command.toLowerCase()}`];
    if (command === "EVAL") given.push(inScript(args));
    for (const permission of [keysIn(args), CHANNELS])
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
}

/** The pattern of the keys that a command was for. */
function keysIn(args: readonly (string | Buffer)[]): string {
  return isOfRelays(args) ? `~${RELAY_KEYS}*` : "~statsig*";
}

const inScript = (args: readonly (string | Buffer)[]): string =>
  isOfRelays(args) ? FLEET_SCRIPTS : ENTRY_SCRIPT;

const isOfRelays = (args: readonly (string | Buffer)[]): boolean =>
  args.some((arg) => typeof arg === "string" && arg.startsWith(RELAY_KEYS));
