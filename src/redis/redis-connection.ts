import type { Clock } from "../clock.ts";
import type { EmitRedisEvent } from "./events.ts";
import { RedisLink } from "./link.ts";
import type { RedisOptions } from "./options.ts";

/**
 * Sends commands over a few links, and tells once when the last of them goes down and once when one is back.
 * Never fatal: whatever Redis does, a command fails within the command timeout, and connecting goes on for ever.
 */
export class RedisConnection implements AsyncDisposable {
  readonly options: RedisOptions;
  readonly #clock: Clock;
  readonly #emit: EmitRedisEvent;
  readonly #links: RedisLink[] = [];
  readonly #onUp: (() => void)[] = [];
  #isUp = false;
  #downSince: number | undefined;
  #turn = 0;

  /** Connects from here on. */
  constructor(options: RedisOptions, clock: Clock, emit: EmitRedisEvent) {
    this.options = options;
    this.#clock = clock;
    this.#emit = emit;
    while (this.#links.length < Math.max(1, options.pool.min)) this.#open();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Called each time that Redis comes to be usable, the first time included. */
  onUp(listener: () => void): void {
    this.#onUp.push(listener);
  }

  /** Rejects with a `RedisFailure`, at once where Redis is known to be down. Answers may be of any shape. */
  send(command: string, args: readonly (string | Buffer)[]): Promise<unknown> {
    return this.#pick().send(command, args, "text");
  }

  /** As {@link send}, with every text of the answer as a Buffer. */
  sendForBytes(command: string, args: readonly (string | Buffer)[]): Promise<unknown> {
    return this.#pick().send(command, args, "bytes");
  }

  #open(): RedisLink {
    const link = new RedisLink(this.options, this.#clock, () => this.#changed());
    this.#links.push(link);
    return link;
  }

  #pick(): RedisLink {
    const usable =
      this.#linksThatAre("up") ?? this.#linksThatAre("opening") ?? (this.#links as readonly RedisLink[]);
    const least = Math.min(...usable.map((link) => link.inFlight));
    const idlest = usable.filter((link) => link.inFlight === least);
    const picked = idlest[this.#turn++ % idlest.length];
    if (picked === undefined) return this.#open();
    if (least > 0 && this.#isUp && this.#links.length < this.options.pool.max) this.#open();
    return picked;
  }

  #linksThatAre(state: RedisLink["state"]): readonly RedisLink[] | undefined {
    const links = this.#links.filter((link) => link.state === state);
    return links.length === 0 ? undefined : links;
  }

  #changed(): void {
    if (this.#linksThatAre("up") !== undefined) this.#cameUp();
    else if (this.#linksThatAre("opening") === undefined) this.#wentDown();
  }

  #cameUp(): void {
    if (this.#isUp) return;
    this.#isUp = true;
    if (this.#downSince !== undefined) {
      this.#emit({ kind: "redis_up", downForMs: this.#clock.now() - this.#downSince });
      this.#downSince = undefined;
    }
    for (const listener of this.#onUp) listener();
  }

  #wentDown(): void {
    this.#isUp = false;
    if (this.#downSince !== undefined) return;
    this.#downSince = this.#clock.now();
    this.#emit({ kind: "redis_down", reason: this.#links[0]?.reason ?? "no connection" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#links.map((link) => link[Symbol.asyncDispose]()));
  }
}
