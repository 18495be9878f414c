import { Command, Redis } from "ioredis";
import dataHandlerModule from "ioredis/built/DataHandler.js";
import { UNEXPECTED_REPLY } from "./errors.ts";

// In three places ioredis 6.0.0 throws where the error can't be caught, which ends the process: the server is not a Redis, or
// the connection breaks at a bad moment. In another it continues although replies no longer match commands. With these patches
// the connection, or the one command, fails instead. Import this file before the first use of ioredis.

interface Replies {
  readonly redis: { readonly commandQueue: { readonly length: number } };
  dispatch(handle: () => void): void;
  shiftCommand(reply: unknown): unknown;
  returnFatalError(error: unknown): void;
}

/** Bun and its bundler disagree about the default export of a CommonJS module. */
const DataHandler =
  "default" in dataHandlerModule
    ? (dataHandlerModule.default as typeof dataHandlerModule)
    : dataHandlerModule;
const replies = DataHandler.prototype as unknown as Replies;
const broken = new WeakSet<Replies>();

/** Closes the connection after a reply that can't be handled. The library would throw where the error can't be caught. */
replies.dispatch = function (this: Replies, handle) {
  if (broken.has(this)) return;
  try {
    handle();
  } catch {
    broken.add(this);
    this.returnFatalError(new Error(UNEXPECTED_REPLY));
  }
};

/** Fails on a reply without a command. Otherwise the next command would get a reply that belongs to another one. */
const { shiftCommand } = replies;
replies.shiftCommand = function (this: Replies, reply) {
  if (this.redis.commandQueue.length === 0) throw new Error(`${UNEXPECTED_REPLY} without a command`);
  return shiftCommand.call(this, reply);
};

/**
 * The library sends INFO to find out whether Redis is ready, and prints a warning if the user may not run it. Such a Redis
 * counts as ready; commands fail on their own if it is not.
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

/**
 * The library prints the error of a connection that nothing listens to, such as one that it opened to a Sentinel or to a node of a
 * Cluster by itself. What uses the connection fails, and is reported where it fails.
 */
const { silentEmit } = Redis.prototype as unknown as { readonly silentEmit: Emit };
Object.defineProperty(Redis.prototype, "silentEmit", {
  value(this: Redis, event: string, ...details: readonly unknown[]) {
    if (event === "error" && this.listenerCount(event) === 0) return false;
    return silentEmit.call(this, event, ...details);
  },
});

type Emit = (this: Redis, event: string, ...details: readonly unknown[]) => boolean;

/** Validates the reply to CLUSTER SLOTS, which the library reads unchecked in a callback. */
Command.setReplyTransformer("cluster", (reply) => {
  const isSlots = Array.isArray(reply) && reply.every(isSlotRange);
  if (typeof reply === "string" || isSlots) return reply;
  throw new Error(`${UNEXPECTED_REPLY} to CLUSTER SLOTS`);
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

/** Handles the rejection of ASKING, which the library sends before a redirected command and does not handle. */
const asking = Redis.prototype.asking as (this: Redis) => Promise<unknown>;
Object.defineProperty(Redis.prototype, "asking", {
  value(this: Redis) {
    const reply = asking.call(this);
    reply.catch(() => undefined);
    return reply;
  },
});
