import type { RedisLogin, RedisOptions } from "../options.ts";

/** What connections log in to Redis with, which changes while the relay runs. */
export interface RedisLogins {
  /** What the next connection logs in with; undefined while there is no access token. */
  readonly current: RedisLogin | undefined;
  /** Whether Redis rejected a login and another one that was not tried yet has replaced it. */
  readonly isTrying: boolean;
  /** Call this with the login that a connection used when Redis rejects it. */
  rejected(login: RedisLogin | undefined): void;
  /**
   * Calls the listener each time {@link current} is renewed, or stays undefined because the authority failed. Returns a function that
   * removes the listener.
   */
  onChange(listener: () => void): () => void;
}

/**
 * A user and password that stay the same. What the variables mean depends on the version of the original proxy that they were
 * written for, so each further meaning is tried while Redis rejects the one before. The one that Redis takes stays in use.
 */
export class PasswordLogins implements RedisLogins {
  readonly #logins: readonly RedisLogin[];
  #rejections = 0;

  constructor({ user, password, otherLogins = [] }: RedisOptions) {
    const given: RedisLogin = {
      ...(user !== undefined && { user }),
      ...(password !== undefined && { password }),
    };
    this.#logins = [given, ...otherLogins];
  }

  get current(): RedisLogin | undefined {
    return this.#logins[this.#rejections % this.#logins.length];
  }

  get isTrying(): boolean {
    return this.#rejections > 0 && this.#rejections < this.#logins.length;
  }

  /** Several connections can be rejected with the same login, which counts once. */
  rejected(login: RedisLogin | undefined): void {
    if (login === this.current) this.#rejections++;
  }

  onChange(): () => void {
    return () => {};
  }
}
