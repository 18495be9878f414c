import { Command, Redis } from "ioredis";
import dataHandlerModule from "ioredis/built/DataHandler.js";

// ioredis 6.0.0 ends the process in three places, where what it talks to is not a Redis or breaks off at a bad
// moment, and goes on where answers no longer belong to commands. Only what happens there is changed: the
// connection, or the one command, fails instead.

interface Replies {
  readonly redis: { readonly commandQueue: { readonly length: number } };
  dispatch(handle: () => void): void;
  shiftCommand(reply: unknown): unknown;
  returnFatalError(error: unknown): void;
}

/** Bun and its bundler do not agree on what the default of a CommonJS module is. */
const DataHandler =
  "default" in dataHandlerModule
    ? (dataHandlerModule.default as typeof dataHandlerModule)
    : dataHandlerModule;
const replies = DataHandler.prototype as unknown as Replies;
const broken = new WeakSet<Replies>();

/** A reply of a shape that no Redis sends would be thrown again where nobody can catch it. */
replies.dispatch = function (this: Replies, handle) {
  if (broken.has(this)) return;
  try {
    handle();
  } catch {
    broken.add(this);
    this.returnFatalError(new Error("not an answer of Redis"));
  }
};

/** A reply too many: the next command would be given the answer to another one. */
const { shiftCommand } = replies;
replies.shiftCommand = function (this: Replies, reply) {
  if (this.redis.commandQueue.length === 0) throw new Error("an answer to no command");
  return shiftCommand.call(this, reply);
};

/**
 * Before a connection counts as ready the library sends INFO, and where the user may not, it prints a line of its own. Such a
 * Redis counts as ready: what it can't do yet, each command tells.
 */
const info = Redis.prototype.info as (this: Redis, done: InfoCallback) => Promise<unknown>;
Object.defineProperty(Redis.prototype, "info", {
  value(this: Redis, done: InfoCallback) {
    return info.call(this, (error, text) => {
      if (error?.message.includes("NOPERM")) done(null, "");
      else done(error, text);
    });
  },
});

type InfoCallback = (error: Error | null | undefined, text?: string) => void;

/** The answer to CLUSTER SLOTS is read unseen, in a callback. */
Command.setReplyTransformer("cluster", (reply) => {
  const isSlots = Array.isArray(reply) && reply.every(isSlotRange);
  if (typeof reply === "string" || isSlots) return reply;
  throw new Error("not an answer of a Redis Cluster");
});

const MAX_SLOT = 16_383;

function isSlotRange(range: unknown): boolean {
  if (!Array.isArray(range)) return false;
  const [start, end, ...nodes] = range as unknown[];
  return isSlot(start) && isSlot(end) && nodes.every(Array.isArray);
}

function isSlot(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_SLOT;
}

/** Sent before a redirected command, and its failure is left to nobody. */
const asking = Redis.prototype.asking as (this: Redis) => Promise<unknown>;
Object.defineProperty(Redis.prototype, "asking", {
  value(this: Redis) {
    const answer = asking.call(this);
    answer.catch(() => undefined);
    return answer;
  },
});
