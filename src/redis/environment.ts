/** The environment, given by whoever may read it. */
export type RedisEnvironment = Readonly<Record<string, string | undefined>>;

/** Given one line that names the variable, what was given (never a password) and what is allowed. */
export type Refuse = (problem: string) => never;

export interface RedisCredentials {
  readonly user?: string;
  readonly password?: string;
}
