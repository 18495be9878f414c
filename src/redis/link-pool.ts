import { RedisFailure } from "./errors.ts";
import { type LinkOptions, RedisLink } from "./link.ts";
import type { RedisPoolSize } from "./options.ts";

/** Both methods reject with a `RedisFailure`, at once while Redis is down. The type of replies is not validated. */
export interface RedisCommands {
  send(command: string, args: readonly (string | Buffer)[]): Promise<unknown>;
  /** Like {@link send}, but texts in the reply are Buffers. */
  sendForBytes(command: string, args: readonly (string | Buffer)[]): Promise<unknown>;
}

interface LinkPoolOptions extends LinkOptions {
  readonly size: RedisPoolSize;
}

/** Sends each command over the link with the fewest commands in flight, and opens another link if all are busy. */
export class LinkPool implements RedisCommands, AsyncDisposable {
  readonly #options: LinkPoolOptions;
  readonly #links: RedisLink[] = [];
  #turn = 0;

  /** Starts connecting. */
  constructor(options: LinkPoolOptions) {
    this.#options = options;
    while (this.#links.length < Math.max(1, options.size.min)) this.#open();
  }

  /** `up` if any link is up, `down` if all are down. */
  get state(): RedisLink["state"] {
    const states = this.#links.map(({ state }) => state);
    return (["up", "opening"] as const).find((state) => states.includes(state)) ?? "down";
  }

  /** Why the first link is down. */
  get reason(): string {
    return this.#links[0]?.reason ?? "no connection";
  }

  send(command: string, args: readonly (string | Buffer)[]): Promise<unknown> {
    return this.#pick().send(command, args, "text");
  }

  sendForBytes(command: string, args: readonly (string | Buffer)[]): Promise<unknown> {
    return this.#pick().send(command, args, "bytes");
  }

  /** See {@link RedisLink.reconnectNow}. */
  reconnectNow(): void {
    for (const link of this.#links) link.reconnectNow();
  }

  /** See {@link RedisLink.logIn}. */
  logIn(): void {
    for (const link of this.#links) link.logIn();
  }

  /** See {@link RedisLink.probe}. */
  probe(): void {
    for (const link of this.#links) link.probe();
  }

  #open(): RedisLink {
    const link = new RedisLink(this.#options);
    this.#links.push(link);
    return link;
  }

  #pick(): RedisLink {
    const { state } = this;
    const usable = this.#links.filter((link) => link.state === state);
    const least = Math.min(...usable.map((link) => link.inFlight));
    const idlest = usable.filter((link) => link.inFlight === least);
    const picked = idlest[this.#turn++ % idlest.length];
    if (picked === undefined) return this.#open();
    if (least > 0 && state === "up" && this.#links.length < this.#options.size.max) this.#open();
    return picked;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#links.map((link) => link[Symbol.asyncDispose]()));
  }
}

/**
 * A connection that is used by one task at a time, without commands of others in between: for WATCH, MULTI and EXEC. It is opened
 * for the first task, because most Redis users may run scripts and never need it.
 */
export class ExclusiveLink implements AsyncDisposable {
  readonly #open: () => RedisLink;
  #link: RedisLink | undefined;
  #previous: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(open: () => RedisLink) {
    this.#open = open;
  }

  /** Runs tasks one after the other. Closes the connection after a task that fails, because it may be in a transaction. */
  run<T>(task: (commands: RedisCommands) => Promise<T>): Promise<T> {
    const running = this.#previous.then(() => this.#runNow(task));
    this.#previous = running.catch(() => undefined);
    return running;
  }

  /** See {@link RedisLink.logIn}. Waits for a task that runs: in a transaction, the command would become a part of it. */
  logIn(): void {
    // Before the connection is up, a task may be waiting for it.
    if (this.#link?.state === "up") this.#previous = this.#previous.then(() => this.#link?.logIn());
    else this.#link?.logIn();
  }

  async #runNow<T>(task: (commands: RedisCommands) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new RedisFailure("unreachable", "the relay is shutting down");
    this.#link ??= this.#open();
    const link = this.#link;
    const ended = new AbortController();
    try {
      const session = await link.session();
      const send = (command: string, args: readonly (string | Buffer)[], as: "text" | "bytes") => {
        ended.signal.throwIfAborted();
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
      ended.abort(new RedisFailure("unreachable", "the exclusive task has ended"));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#link?.[Symbol.asyncDispose]();
    await this.#previous;
  }
}
