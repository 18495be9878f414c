import { withTimeout } from "../platform/abort.ts";
import { backoffMs } from "../platform/backoff.ts";
import type { Clock } from "../platform/clock.ts";
import type { RedisLogins } from "./auth/logins.ts";
import {
  connectFirst,
  connectNodes,
  type LinkKind,
  logInAgain,
  openClient,
  type RedisClient,
  reconnectNow,
} from "./client.ts";
import { NO_SUCH_DATABASE, NOT_REDIS, RedisFailure, toRedisFailure } from "./errors.ts";
import type { RedisOptions } from "./options.ts";
import { StallWatch } from "./stall-watch.ts";

/** `opening` until the first connect succeeds or fails, and while reconnecting from a replica to the master. */
type LinkState = "opening" | "up" | "down";

export interface LinkOptions {
  readonly redis: RedisOptions;
  readonly logins: RedisLogins;
  readonly kind: LinkKind;
  readonly clock: Clock;
  readonly onChange: () => void;
  /** Called when a link that is down has another reason. */
  readonly onOtherReason: () => void;
  /** Whether Redis responds on another connection. Called if no data is transferred on a bulk connection. */
  readonly isResponding: () => Promise<boolean>;
}

/** Limits reconnects because of READONLY: a Redis that stays read-only still serves reads. */
const READONLY_RECONNECT_EVERY_MS = 5_000;

/** The limit for a bulk command that makes progress, so that every command ends. */
const MAX_BULK_COMMAND_MS = 30 * 60_000;

/** The relay reconnects within about a second after an outage, however long that was. */
export const RECONNECT_BACKOFF = { firstMs: 100, maxMs: 1_000 } as const;

const CLOSED = "connection closed";
const NO_TOKEN = "there is no access token yet";
const DISCONNECT_LIMIT_MS = 1_000;

class NoSuchDatabase extends RedisFailure {
  constructor() {
    super("refused", NO_SUCH_DATABASE);
  }
}

/** One client of the Redis library, which reconnects forever, and its health. */
export class RedisLink implements AsyncDisposable {
  readonly #options: RedisOptions;
  readonly #logins: RedisLogins;
  readonly #kind: LinkKind;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #onOtherReason: () => void;
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

  constructor({ redis, logins, kind, clock, isResponding, ...listeners }: LinkOptions) {
    this.#options = redis;
    this.#logins = logins;
    this.#kind = kind;
    this.#clock = clock;
    this.#onChange = listeners.onChange;
    this.#onOtherReason = listeners.onOtherReason;
    this.#client = openClient(redis, {
      kind,
      logins,
      retryDelayMs: () =>
        this.#closing.signal.aborted ? null : backoffMs({ attempt: this.#failures++, ...RECONNECT_BACKOFF }),
      reconnectsOn: (error) => this.#leaveReplica(error),
    });
    this.#client.on("ready", () => void this.#checkAndOpen());
    this.#client.on("error", (error: unknown) => this.#onError(error));
    this.#client.on("close", () => this.#onClose());
    this.#client.on("end", () => void this.#reconnectAfterEnd());
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
    void this.#limitOpening();
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Why the link is down. */
  get reason(): string {
    return this.#reason;
  }

  /** Connects now instead of after the backoff. Call this when another link has found that Redis is back. */
  reconnectNow(): void {
    if (!this.#closing.signal.aborted) reconnectNow(this.#client);
  }

  /**
   * Call this when the login has changed: connects if there was none, and logs in again where a connection is open. Without a login the
   * link is down, so that nothing waits for it.
   */
  logIn(): void {
    if (this.#closing.signal.aborted) return;
    if (this.#logins.current === undefined) {
      this.#become("down", NO_TOKEN);
      return;
    }
    connectFirst(this.#client);
    logInAgain(this.#client, this.#logins);
    reconnectNow(this.#client);
  }

  /** Sends a PING, because an idle connection that is dead is only noticed when a command gets no reply. */
  probe(): void {
    if (this.#state === "up") this.#sendNow("PING", [], "text").catch(() => undefined);
  }

  /**
   * Rejects with a {@link RedisFailure}, at the latest at the time limit of this kind of link. With `session`, sends the command
   * only over the connection of that session.
   */
  async send(
    command: string,
    args: readonly (string | Buffer)[],
    as: "text" | "bytes",
    session?: number,
  ): Promise<unknown> {
    this.inFlight++;
    try {
      const reply = this.#sendOpened(command, args, as, session);
      return await withTimeLimit(reply, this.#limitMs, this.#clock);
    } catch (error) {
      throw toRedisFailure(error);
    } finally {
      this.inFlight--;
    }
  }

  /** Returns the id of the current connection, for {@link send}. Rejects if there is none. */
  async session(): Promise<number> {
    // Right after the start it is not known yet whether Redis can be reached.
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

  /** Checks with EVAL, because Redis also blocks scripts while it blocks writes, for example during a failover. */
  async #checkAndOpen(): Promise<void> {
    try {
      await withTimeLimit(connectNodes(this.#client), this.#options.commandTimeoutMs, this.#clock).catch(
        () => {},
      );
      await this.#checkDatabase();
      const reply = this.#sendNow("EVAL", ["return 'up'", "0"], "text");
      if ((await withTimeLimit(reply, this.#options.commandTimeoutMs, this.#clock)) !== "up") {
        throw new RedisFailure("garbage", NOT_REDIS);
      }
    } catch (error) {
      const failure = toRedisFailure(error);
      // After an error reply the link is up: each command shows whether it can be run.
      if (failure.kind !== "refused" || error instanceof NoSuchDatabase) return this.#onCheckFailed(failure);
    }
    if (this.#closing.signal.aborted) return;
    this.#failures = 0;
    this.#become("up", "");
  }

  /** If the database does not exist, the library stays in database 0, which may belong to another application. */
  async #checkDatabase(): Promise<void> {
    const { address, commandTimeoutMs } = this.#options;
    if (address.kind !== "single" || address.db === 0) return;
    try {
      const reply = this.#sendNow("SELECT", [String(address.db)], "text");
      await withTimeLimit(reply, commandTimeoutMs, this.#clock);
    } catch (error) {
      throw toRedisFailure(error).kind === "refused" ? new NoSuchDatabase() : error;
    }
  }

  #onCheckFailed(failure: RedisFailure): void {
    this.#become("down", failure.message);
    this.#client.disconnect(true);
  }

  #onError(error: unknown): void {
    const failure = toRedisFailure(error);
    if (this.#state === "up") this.#reason = failure.message;
    else if (!this.#isTryingLogins) this.#become("down", failure.message);
  }

  #onClose(): void {
    this.#session++;
    if (this.#state === "up") this.#become("down", this.#reason || CLOSED);
    if (this.#state === "opening" && !this.#isLeavingReplica() && !this.#isTryingLogins)
      this.#become("down", CLOSED);
  }

  /** A rejected login is no outage while there is another one to try. */
  get #isTryingLogins(): boolean {
    return this.#state === "opening" && this.#logins.isTrying;
  }

  /** Returns true if the client shall reconnect, because Redis has become a replica and the master is now elsewhere. */
  #leaveReplica(error: Error): boolean {
    if (this.#isLeavingReplica() || !error.message.includes("READONLY")) return false;
    this.#readonlySince = this.#clock.elapsed();
    this.#become("opening", "");
    return true;
  }

  #isLeavingReplica(): boolean {
    return this.#clock.elapsed() - this.#readonlySince < READONLY_RECONNECT_EVERY_MS;
  }

  /** The library stops connecting for good if an address is unusable, for example an invalid one from a Sentinel. */
  async #reconnectAfterEnd(): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted) return;
    try {
      this.#become("down", this.#reason || CLOSED);
    } finally {
      // In `finally`, because nothing else reconnects if the listener of the state change throws.
      await this.#clock
        .sleep(backoffMs({ attempt: this.#failures++, ...RECONNECT_BACKOFF }), signal)
        .catch(() => undefined);
      if (!signal.aborted && this.#client.status === "end") this.#client.connect().catch(() => undefined);
    }
  }

  /** Connecting can hang without an error, for example while Redis loads its data. */
  async #limitOpening(): Promise<void> {
    const limitMs = this.#options.connectTimeoutMs + this.#options.commandTimeoutMs;
    const isSettled = await withTimeout(
      this.#opened.promise.then(() => true),
      limitMs,
      this.#clock,
    );
    if (isSettled) return;
    this.#become("down", this.#logins.current === undefined ? NO_TOKEN : "Redis is not ready");
  }

  #become(state: LinkState, reason: string): void {
    // "Connection closed" does not replace a more specific reason of the same outage.
    const isOther = reason !== this.#reason && reason !== CLOSED;
    if (state !== "down" || this.#state !== "down" || isOther) this.#reason = reason;
    if (this.#closing.signal.aborted) return;
    if (this.#state === state) {
      if (state === "down" && isOther) this.#onOtherReason();
      return;
    }
    this.#state = state;
    if (state === "opening") {
      this.#opened = Promise.withResolvers();
      void this.#limitOpening();
    } else {
      this.#opened.resolve();
    }
    this.#onChange();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#state = "down";
    this.#reason = "the relay is shutting down";
    this.#opened.resolve();
    this.#closing.abort();
    this.#stallWatch?.[Symbol.dispose]();
    const { status } = this.#client;
    const ended = new Promise<void>((resolve) => void this.#client.once("end", () => resolve()));
    this.#client.disconnect();
    // Between two connects there is nothing to close, and the library emits no "end".
    if (status === "end" || status === "reconnecting") return;
    await withTimeLimit(ended, DISCONNECT_LIMIT_MS, this.#clock).catch(() => undefined);
  }
}

/** Settles as `reply` does, or rejects with a {@link RedisFailure} after `ms`. */
export async function withTimeLimit<T>(reply: Promise<T>, ms: number, clock: Clock): Promise<T> {
  const settled = await withTimeout(
    reply.then((value) => ({ value })),
    ms,
    clock,
  );
  if (settled === undefined) throw new RedisFailure("timeout", `no reply within ${ms / 1_000} s`);
  return settled.value;
}
