import { describeErrno } from "../platform/errors.ts";

type RedisFailureKind =
  /** There is no connection, or it broke. */
  | "unreachable"
  /** There was no reply in time. Redis may have executed the command all the same. */
  | "timeout"
  /** Redis replied with an error. */
  | "refused"
  /** The server does not speak the Redis protocol. */
  | "garbage";

/**
 * A failed command. The message contains no secrets: errors of the Redis library carry the command with all its arguments,
 * including the password, and Redis repeats arguments in some of its messages.
 */
export class RedisFailure extends Error {
  readonly kind: RedisFailureKind;
  /** The first word of Redis's error, such as `WRONGTYPE`, or the code of a system error. */
  readonly code: string | undefined;
  /** Set if the Redis user lacks a permission, or Redis lacks the command. */
  readonly denied: Denied | undefined;

  constructor(kind: RedisFailureKind, message: string, code?: string, denied?: Denied) {
    super(message);
    this.name = "RedisFailure";
    this.kind = kind;
    this.code = code;
    this.denied = denied;
  }
}

/** What the Redis user may not use. `script`: a command inside a script, while the script itself may be run. */
export type Denied = "command" | "key" | "channel" | "script";

const DENIED_MESSAGES: readonly (readonly [RegExp, Denied, string])[] = [
  [
    /user executing the script can't|ACL failure in script|unknown Redis command called from script/i,
    "script",
    "the Redis user may not run a command of the script",
  ],
  [/unknown command/i, "command", "Redis does not have this command"],
  [/^NOPERM\b.*\baccess .*\bkeys?(?: used as arguments)?$/i, "key", "the Redis user may not use this key"],
  [
    /^NOPERM\b.*\baccess .*\bchannels?(?: used as arguments)?$/i,
    "channel",
    "the Redis user may not use this channel",
  ],
  [/\bNOPERM\b/, "command", "the Redis user may not do this"],
];

export const NO_SUCH_DATABASE = "Redis has no such database";
export const NOT_REDIS = "the server does not speak the Redis protocol";

const REPLY_MESSAGES: Readonly<Record<string, string>> = {
  NOAUTH: "Redis asks for a password",
  WRONGPASS: "Redis rejects this user and password",
  READONLY: "this Redis is read-only",
  OOM: "Redis is out of memory",
  LOADING: "Redis is still loading its data",
  BUSY: "Redis is busy with a script",
  MISCONF: "Redis rejects writes: it can't save them to disk",
  NOREPLICAS: "Redis rejects writes: replicas are missing",
  MASTERDOWN: "this Redis is a replica without its master",
  CLUSTERDOWN: "the Redis Cluster does not serve all its slots",
  CROSSSLOT: "the keys are not in one slot of the Redis Cluster",
  MOVED: "the key is on another node of the Redis Cluster",
  WRONGTYPE: "the key has a value of another type",
  NOSCRIPT: "Redis does not have the script",
};

/** Begins the messages of errors that `ioredis-patches.ts` throws. */
export const UNEXPECTED_REPLY = "unexpected reply";

/** Converts an error of the library to a failure without secrets. */
export function toRedisFailure(error: unknown): RedisFailure {
  if (error instanceof RedisFailure) return error;
  const { name, message, code } = readError(error);
  if (name === "ReplyError") return toReplyFailure(message);
  if (name === "ClusterAllFailedError") return toClusterFailure(error);
  if (/timed out|^Socket timeout/i.test(message)) return new RedisFailure("timeout", "no reply in time");
  if (message.includes("RESP type") || message.includes(UNEXPECTED_REPLY)) {
    return new RedisFailure("garbage", NOT_REDIS);
  }
  if (message.startsWith("All sentinels are unreachable")) {
    return new RedisFailure("unreachable", "no Sentinel knows the master, or none can be reached");
  }
  if (/^[A-Z][A-Z0-9_]{2,60}$/.test(code)) {
    const text = describeErrno(error);
    return new RedisFailure("unreachable", text === code ? `no connection: ${code}` : text, code);
  }
  return new RedisFailure("unreachable", "connection closed");
}

function toReplyFailure(message: string): RedisFailure {
  const [, denied, text] = DENIED_MESSAGES.find(([says]) => says.test(message)) ?? [];
  if (text !== undefined) return new RedisFailure("refused", text, "NOPERM", denied);
  // Before version 7, Redis wraps the error of a command in a script into an error of the script.
  const known = Object.keys(REPLY_MESSAGES).find((code) => new RegExp(`\\b${code}\\b`).test(message));
  if (/DB index/i.test(message)) return new RedisFailure("refused", NO_SUCH_DATABASE, "ERR");
  const code = known ?? /^-?([A-Z]{2,20})\b/.exec(message)?.[1] ?? "ERR";
  return new RedisFailure("refused", REPLY_MESSAGES[code] ?? `Redis replied with an error (${code})`, code);
}

/** The library reports a node that can't be reached only as closed, so the message is about all nodes. */
function toClusterFailure(error: unknown): RedisFailure {
  const last = toRedisFailure((error as { readonly lastNodeError?: unknown }).lastNodeError);
  const why = last.kind === "unreachable" ? "can be reached" : `works: ${last.message}`;
  return new RedisFailure("unreachable", `no node of the Redis Cluster ${why}`);
}

function readError(error: unknown): {
  readonly name: string;
  readonly message: string;
  readonly code: string;
} {
  if (!(error instanceof Error)) return { name: "", message: "", code: "" };
  const { code } = error as NodeJS.ErrnoException;
  return { name: error.name, message: error.message, code: typeof code === "string" ? code : "" };
}
