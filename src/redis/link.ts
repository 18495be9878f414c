import { backoffMs } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import { connectNodes, type LinkKind, openClient, type RedisClient, reconnectNow } from "./client.ts";
import { NO_SUCH_DATABASE, RedisFailure, redisFailure } from "./errors.ts";
import type { RedisOptions } from "./options.ts";
import { StallWatch } from "./stall-watch.ts";

/** `opening` until the first connect succeeds or fails, and while a replica is left for the master. */
type LinkState = "opening" | "up" | "down";

export interface LinkOptions {
  readonly redis: RedisOptions;
  readonly kind: LinkKind;
  readonly clock: Clock;
  readonly onChange: () => void;
  /** Whether Redis answers on another connection; asked if nothing moves on one for large values. */
  readonly isResponding: () => Promise<boolean>;
}

/** A Redis that has become a replica is looked for anew, but one that stays read-only still serves reads. */
const READONLY_RECONNECT_EVERY_MS = 5_000;

/** One that makes progress for so long is given up all the same, so that it has an end. */
const MAX_BULK_COMMAND_MS = 30 * 60_000;

const CLOSED = "connection closed";
const GOODBYE_LIMIT_MS = 1_000;

class NoSuchDatabase extends RedisFailure {
  constructor() {
    super("refused", NO_SUCH_DATABASE);
  }
}

/** One client of the Redis library, connected anew for ever, and what is known of its health. */
export class RedisLink implements AsyncDisposable {
  readonly #options: RedisOptions;
  readonly #kind: LinkKind;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #client: RedisClient;
  readonly #stallWatch?: StallWatch;
  readonly #closing = new AbortController();
  #state: LinkState = "opening";
  #reason = "no connection yet";
  #opened = Promise.withResolvers<void>();
  #failures = 0;
  #session = 0;
  #readonlySince = Number.NEGATIVE_INFINITY;
  inFlight = 0;

  constructor({ redis, kind, clock, onChange, isResponding }: LinkOptions) {
    this.#options = redis;
    this.#kind = kind;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#client = openClient(redis, {
      kind,
      retryDelayMs: () =>
        this.#closing.signal.aborted ? null : backoffMs({ attempt: this.#failures++, ...RECONNECT_BACKOFF }),
      reconnectsOn: (error) => this.#leavesReplica(error),
    });
    this.#client.on("ready", () => void this.#checkAndOpen());
    this.#client.on("error", (error: unknown) => this.#failed(error));
    this.#client.on("close", () => this.#closed());
    this.#client.on("end", () => void this.#reopen());
    const { commandTimeoutMs: limitMs, maxReplyBytes } = redis;
    if (kind === "bulk") {
      this.#stallWatch = new StallWatch({
        client: this.#client,
        limitMs,
        maxReplyBytes,
        isResponding,
        clock,
      });
    }
    void this.#giveUpOpening();
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Why it is down. */
  get reason(): string {
    return this.#reason;
  }

  /** Connects now instead of after the backoff: another link has just found that Redis is back. */
  reconnectNow(): void {
    if (!this.#closing.signal.aborted) reconnectNow(this.#client);
  }

  /** Finds out if an idle connection is dead: only commands that wait for answers show that. */
  probe(): void {
    if (this.#state === "up") this.#sendNow("PING", [], "text").catch(() => undefined);
  }

  /**
   * Rejects with a {@link RedisFailure} within the limit of this kind of link. Answers may be of any shape. With a
   * `session` only over the connection of that session.
   */
  async send(
    command: string,
    args: readonly (string | Buffer)[],
    as: "text" | "bytes",
    session?: number,
  ): Promise<unknown> {
    this.inFlight++;
    try {
      const answer = this.#sendOpened(command, args, as, session);
      return await withTimeLimit(answer, this.#limitMs, this.#clock);
    } catch (error) {
      throw redisFailure(error);
    } finally {
      this.inFlight--;
    }
  }

  /** By which `send` knows whether it still has the same connection. Rejects if there is none. */
  async session(): Promise<number> {
    // Right after the start it is not known yet whether Redis is there.
    if (this.#state === "opening") await this.#opened.promise;
    if (this.#state === "down") throw new RedisFailure("unreachable", this.#reason);
    return this.#session;
  }

  async #sendOpened(
    command: string,
    args: readonly (string | Buffer)[],
    as: "text" | "bytes",
    wanted: number | undefined,
  ) {
    const session = await this.session();
    if (wanted !== undefined && wanted !== session) throw new RedisFailure("unreachable", CLOSED);
    return this.#sendNow(command, args, as);
  }

  get #limitMs(): number {
    return this.#kind === "bulk" ? MAX_BULK_COMMAND_MS : this.#options.commandTimeoutMs;
  }

  #sendNow(command: string, args: readonly (string | Buffer)[], as: "text" | "bytes"): Promise<unknown> {
    return as === "text"
      ? this.#client.call(command, [...args])
      : this.#client.callBuffer(command, [...args]);
  }

  /** Scripts are held back with writes, so that a Redis which only reads does not count as back. */
  async #checkAndOpen(): Promise<void> {
    try {
      await withTimeLimit(connectNodes(this.#client), this.#options.commandTimeoutMs, this.#clock).catch(
        () => {},
      );
      await this.#checkDatabase();
      const answer = this.#sendNow("EVAL", ["return 'up'", "0"], "text");
      if ((await withTimeLimit(answer, this.#options.commandTimeoutMs, this.#clock)) !== "up") {
        throw new RedisFailure("garbage", "what answers there does not speak as Redis does");
      }
    } catch (error) {
      const failure = redisFailure(error);
      // An error is an answer: what can still be done is seen command by command.
      if (failure.kind !== "refused" || error instanceof NoSuchDatabase) return this.#failedCheck(failure);
    }
    if (this.#closing.signal.aborted) return;
    this.#failures = 0;
    this.#become("up", "");
  }

  /** The library goes on in database 0, which may be another application's, where this one is not there. */
  async #checkDatabase(): Promise<void> {
    const { address, commandTimeoutMs } = this.#options;
    if (address.kind !== "single" || address.db === 0) return;
    try {
      const answer = this.#sendNow("SELECT", [String(address.db)], "text");
      await withTimeLimit(answer, commandTimeoutMs, this.#clock);
    } catch (error) {
      throw redisFailure(error).kind === "refused" ? new NoSuchDatabase() : error;
    }
  }

  #failedCheck(failure: RedisFailure): void {
    this.#become("down", failure.message);
    this.#client.disconnect(true);
  }

  #failed(error: unknown): void {
    const failure = redisFailure(error);
    if (this.#state === "up") this.#reason = failure.message;
    else this.#become("down", failure.message);
  }

  #closed(): void {
    this.#session++;
    if (this.#state === "up") this.#become("down", this.#reason || CLOSED);
    if (this.#state === "opening" && !this.#isLeavingReplica()) this.#become("down", CLOSED);
  }

  #leavesReplica(error: Error): boolean {
    if (this.#isLeavingReplica() || !error.message.includes("READONLY")) return false;
    this.#readonlySince = this.#clock.elapsed();
    this.#become("opening", "");
    return true;
  }

  #isLeavingReplica(): boolean {
    return this.#clock.elapsed() - this.#readonlySince < READONLY_RECONNECT_EVERY_MS;
  }

  /** The library ends for good where an address is unusable, as one that a Sentinel made up. */
  async #reopen(): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted) return;
    try {
      this.#become("down", this.#reason || CLOSED);
    } finally {
      // Also where whoever is told of it throws: nothing else would connect again.
      await this.#clock
        .sleep(backoffMs({ attempt: this.#failures++, ...RECONNECT_BACKOFF }), signal)
        .catch(() => undefined);
      if (!signal.aborted && this.#client.status === "end") this.#client.connect().catch(() => undefined);
    }
  }

  /** Some things take for ever without a failure: a Redis that loads its data, for one. */
  async #giveUpOpening(): Promise<void> {
    const limitMs = this.#options.connectTimeoutMs + this.#options.commandTimeoutMs;
    const { promise } = this.#opened;
    const settled = promise.then(() => true);
    const late = this.#clock.sleep(limitMs, this.#closing.signal).then(
      () => false,
      () => true,
    );
    if (!(await Promise.race([settled, late]))) this.#become("down", "it is not ready");
  }

  #become(state: LinkState, reason: string): void {
    // Of many errors in one outage, "closed" says the least.
    if (state !== "down" || this.#state !== "down" || reason !== CLOSED) this.#reason = reason;
    if (this.#state === state || this.#closing.signal.aborted) return;
    this.#state = state;
    if (state === "opening") {
      this.#opened = Promise.withResolvers();
      void this.#giveUpOpening();
    } else {
      this.#opened.resolve();
    }
    this.#onChange();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#state = "down";
    this.#reason = "the relay is ending";
    this.#opened.resolve();
    this.#closing.abort();
    this.#stallWatch?.[Symbol.dispose]();
    const { status } = this.#client;
    const ended = new Promise<void>((resolve) => void this.#client.once("end", () => resolve()));
    this.#client.disconnect();
    // Between two connects there is nothing to end, and the library tells of no end.
    if (status === "end" || status === "reconnecting") return;
    await withTimeLimit(ended, GOODBYE_LIMIT_MS, this.#clock).catch(() => undefined);
  }
}

/** The promise, or a failure after `ms`, whatever it still waits for. */
export async function withTimeLimit<T>(promise: Promise<T>, ms: number, clock: Clock): Promise<T> {
  const timer = new AbortController();
  const late = clock.sleep(ms, timer.signal).then(() => {
    throw new RedisFailure("timeout", `no answer within ${ms / 1_000} s`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

/** A relay has Redis back within about a second, however long it was away. */
export const RECONNECT_BACKOFF = { firstMs: 100, maxMs: 1_000 } as const;
