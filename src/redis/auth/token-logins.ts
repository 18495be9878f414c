import { backoffMs } from "../../platform/backoff.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Supervisor } from "../../platform/supervisor.ts";
import type { EmitRedisEvent } from "../events.ts";
import type { EntraOptions, RedisLogin } from "../options.ts";
import { requestToken, type TokenOutcome } from "./entra.ts";
import type { RedisLogins } from "./logins.ts";

interface TokenLoginsOptions {
  readonly entra: EntraOptions;
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly emit: EmitRedisEvent;
}

/** Failed requests are repeated after 1 to 2 s at first, and after 30 to 60 s in the end. */
const RETRY = { firstMs: 2_000, maxMs: 60_000 } as const;

const DEFAULT_MARGIN_DIVISOR = 4;
const MIN_MARGIN_MS = 60_000;

/** A margin that leaves less than this between two requests is a mistake, such as one in milliseconds. */
const MIN_REFRESH_INTERVAL_MS = 30_000;

/**
 * Access tokens as passwords. Each is renewed before it ends; connections that are open must then log in again. If that fails, the
 * last token stays in use and the request is repeated without end.
 */
export class TokenLogins implements RedisLogins, AsyncDisposable {
  readonly isTrying = false;
  readonly #options: TokenLoginsOptions;
  readonly #listeners = new Set<() => void>();
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  #current: RedisLogin | undefined;
  #failures = 0;

  /** Requests the first token. */
  constructor(options: TokenLoginsOptions) {
    this.#options = options;
    this.#running = options.supervisor.loop("redis_token", this.#closing.signal, (worked) =>
      this.#renew(worked),
    );
  }

  get current(): RedisLogin | undefined {
    return this.#current;
  }

  /** A token that Redis rejects is not replaced early: the authority would send one with the same rights. */
  rejected(): void {}

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async #renew(worked: () => void): Promise<void> {
    const { entra, clock, emit } = this.#options;
    const { signal } = this.#closing;
    const outcome = await requestToken(entra, clock, signal);
    worked();
    if (outcome.kind === "token") return this.#use(outcome);
    emit({ kind: "redis_token_failed", reason: outcome.reason });
    if (this.#current === undefined) this.#notify();
    await clock.sleep(backoffMs({ attempt: this.#failures++, ...RETRY }), signal);
  }

  /** Resolves when the next token is due. */
  async #use({ token, lifeMs }: Extract<TokenOutcome, { kind: "token" }>): Promise<void> {
    const { entra, clock, emit } = this.#options;
    const { user, refreshMarginMs } = entra;
    const renewInMs = lifeMs - findMarginMs(lifeMs, refreshMarginMs);
    this.#failures = 0;
    this.#current = { ...(user !== undefined && { user }), password: token };
    const isIgnored = refreshMarginMs !== undefined && renewInMs !== lifeMs - refreshMarginMs;
    emit({
      kind: "redis_token_renewed",
      lifeMs,
      renewInMs,
      ...(isIgnored && { ignoredMarginMs: refreshMarginMs }),
    });
    this.#notify();
    await clock.sleep(renewInMs, this.#closing.signal);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the relay is shutting down"));
    await this.#running;
  }
}

/** Returns how long before its end a token is replaced. A configured margin that is too long for the token is ignored. */
function findMarginMs(lifeMs: number, configuredMs: number | undefined): number {
  const longestMs = lifeMs - MIN_REFRESH_INTERVAL_MS;
  if (configuredMs !== undefined && configuredMs <= longestMs) return configuredMs;
  return Math.min(longestMs, Math.max(MIN_MARGIN_MS, lifeMs / DEFAULT_MARGIN_DIVISOR));
}
