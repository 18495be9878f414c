/** Why a command did not do what it should. */
type RedisFailureKind =
  /** No connection, or it broke. */
  | "unreachable"
  /** No answer in time; the command may have been carried out all the same. */
  | "timeout"
  /** Redis answered with an error. */
  | "refused"
  /** What answers does not speak as Redis does. */
  | "garbage";

/**
 * A failure in words of our own: errors of the Redis library carry the command with all its arguments, the
 * password among them, and Redis repeats arguments in some of its messages.
 */
export class RedisFailure extends Error {
  readonly kind: RedisFailureKind;
  /** The word that Redis begins its error with, such as `WRONGTYPE`. */
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

/** What may not be used; `script`: something that a script does, which may itself be run. */
export type Denied = "command" | "key" | "channel" | "script";

const DENIALS: readonly (readonly [RegExp, Denied, string])[] = [
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

const REPLY_WORDS: Readonly<Record<string, string>> = {
  NOAUTH: "Redis asks for a password",
  WRONGPASS: "Redis does not take this user and password",
  READONLY: "this Redis is read-only",
  OOM: "Redis is out of memory",
  LOADING: "Redis is still loading its data",
  BUSY: "Redis is busy with a script",
  MISCONF: "Redis takes no writes, as it can't save them",
  NOREPLICAS: "Redis takes no writes, as replicas are missing",
  MASTERDOWN: "this Redis is a replica without its master",
  CLUSTERDOWN: "the Redis Cluster does not serve all its slots",
  CROSSSLOT: "the keys are not in one slot of the Redis Cluster",
  MOVED: "the key is on another node of the Redis Cluster",
  WRONGTYPE: "a value of another type is there",
  NOSCRIPT: "Redis does not have the script",
};

const NETWORK_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection closed",
  EPIPE: "connection closed",
  ENOTFOUND: "host name not found",
  EAI_AGAIN: "host name not found just now",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no route to the host",
  ETIMEDOUT: "no connection in time",
};

/** What the library threw, in words that hold no secret. */
export function redisFailure(error: unknown): RedisFailure {
  if (error instanceof RedisFailure) return error;
  const { name, message, code } = shapeOf(error);
  if (name === "ReplyError") return replyFailure(message);
  if (name === "ClusterAllFailedError") return clusterFailure(error);
  if (/timed out|^Socket timeout/i.test(message)) return new RedisFailure("timeout", "no answer in time");
  if (/RESP type|answer/.test(message)) {
    return new RedisFailure("garbage", "what answers there does not speak as Redis does");
  }
  if (message.startsWith("All sentinels are unreachable")) {
    return new RedisFailure("unreachable", "no Sentinel knows the master, or none can be reached");
  }
  if (/^[A-Z][A-Z0-9_]{2,60}$/.test(code)) {
    return new RedisFailure("unreachable", NETWORK_WORDS[code] ?? `no connection: ${code}`, code);
  }
  return new RedisFailure("unreachable", "connection closed");
}

function replyFailure(message: string): RedisFailure {
  const [, denied, text] = DENIALS.find(([says]) => says.test(message)) ?? [];
  if (text !== undefined) return new RedisFailure("refused", text, "NOPERM", denied);
  // Redis before 7 wraps the error of a script's command into one of the script.
  const known = Object.keys(REPLY_WORDS).find((code) => new RegExp(`\\b${code}\\b`).test(message));
  if (/DB index/i.test(message)) return new RedisFailure("refused", NO_SUCH_DATABASE, "ERR");
  const code = known ?? /^-?([A-Z]{2,20})\b/.exec(message)?.[1] ?? "ERR";
  return new RedisFailure("refused", REPLY_WORDS[code] ?? `Redis answered with an error (${code})`, code);
}

/** Of a node that can't be reached, the library says only that it is closed. */
function clusterFailure(error: unknown): RedisFailure {
  const last = redisFailure((error as { readonly lastNodeError?: unknown }).lastNodeError);
  const why = last.kind === "unreachable" ? "can be reached" : `works: ${last.message}`;
  return new RedisFailure("unreachable", `no node of the Redis Cluster ${why}`);
}

function shapeOf(error: unknown): { readonly name: string; readonly message: string; readonly code: string } {
  if (!(error instanceof Error)) return { name: "", message: "", code: "" };
  const { code } = error as NodeJS.ErrnoException;
  return { name: error.name, message: error.message, code: typeof code === "string" ? code : "" };
}
