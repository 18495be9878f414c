import { type LinkOptions, RedisLink } from "./link.ts";
import type { RedisPoolSize } from "./options.ts";

/** Both reject with a `RedisFailure`, at once if Redis is known to be down. Answers may be of any shape. */
export interface RedisCommands {
  send(command: string, args: readonly (string | Buffer)[]): Promise<unknown>;
  /** As {@link send}, with every text of the answer as a Buffer. */
  sendForBytes(command: string, args: readonly (string | Buffer)[]): Promise<unknown>;
}

export interface LinkPoolOptions extends LinkOptions {
  readonly size: RedisPoolSize;
}

/** Sends each command over the link that has the fewest commands in flight, and opens another one if all are busy. */
export class LinkPool implements RedisCommands, AsyncDisposable {
  readonly #options: LinkPoolOptions;
  readonly #links: RedisLink[] = [];
  #turn = 0;

  /** Connects from here on. */
  constructor(options: LinkPoolOptions) {
    this.#options = options;
    while (this.#links.length < Math.max(1, options.size.min)) this.#open();
  }

  /** One link that is up is enough; it is down if all are. */
  get state(): RedisLink["state"] {
    const states = this.#links.map(({ state }) => state);
    return (["up", "opening"] as const).find((state) => states.includes(state)) ?? "down";
  }

  /** Why it is down. */
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
