import { RedisFailure } from "./failure.ts";
import type { RedisLink } from "./link.ts";
import type { RedisCommands } from "./link-pool.ts";

/**
 * A connection that one task has at a time, with no command of another in between: for WATCH, MULTI and EXEC.
 * It is opened for the first task, since most users of Redis may run scripts and never need it.
 */
export class ExclusiveLink implements AsyncDisposable {
  readonly #open: () => RedisLink;
  #link: RedisLink | undefined;
  #previous: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(open: () => RedisLink) {
    this.#open = open;
  }

  /** Tasks run one after the other. After one that fails, the connection is closed: it may be in a transaction. */
  run<T>(task: (commands: RedisCommands) => Promise<T>): Promise<T> {
    const running = this.#previous.then(() => this.#runNow(task));
    this.#previous = running.catch(() => undefined);
    return running;
  }

  async #runNow<T>(task: (commands: RedisCommands) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new RedisFailure("unreachable", "the relay is ending");
    this.#link ??= this.#open();
    const link = this.#link;
    const over = new AbortController();
    try {
      const session = await link.session();
      const send = (command: string, args: readonly (string | Buffer)[], as: "text" | "bytes") => {
        over.signal.throwIfAborted();
        return link.send(command, args, as, session);
      };
      return await task({
        send: async (command, args) => send(command, args, "text"),
        sendForBytes: async (command, args) => send(command, args, "bytes"),
      });
    } catch (error) {
      this.#link = undefined;
      await link[Symbol.asyncDispose]();
      throw error;
    } finally {
      over.abort(new RedisFailure("unreachable", "the exclusive task is over"));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#link?.[Symbol.asyncDispose]();
    await this.#previous;
  }
}
