import type { DropInRow } from "../support/drop-in/row.ts";

type Env = Readonly<Record<string, string>>;

/** An environment with which the relay does not start. */
export interface RefusedRow extends DropInRow {
  readonly env: Env;
  /** What the error names. */
  readonly names: readonly string[];
}

/** An environment with which the relay starts, and how it then logs in to Redis. */
export interface LoginRow extends DropInRow {
  readonly env: Env;
  /** The Redis user that it logs in as, and what that user's password is. Without one, there is no login. */
  readonly user?: string;
  readonly password?: string;
  /** What the log says. */
  readonly says?: string;
}

export const OAUTH: Env = {
  REDIS_AUTH_MODE: "oauth",
  REDIS_TLS: "true",
  REDIS_OAUTH_TENANT_ID: "tenant",
  REDIS_OAUTH_CLIENT_ID: "client",
  REDIS_OAUTH_CLIENT_SECRET: "s3cret-of-the-client",
  REDIS_OAUTH_SCOPE: "api://redis/.default",
};

const NO_START = "does not start";

function refused(name: string, env: Env, ...names: string[]): RefusedRow {
  return { name, original: NO_START, ours: "same", env, names };
}

export const REFUSED_ROWS: readonly RefusedRow[] = [
  refused("REDIS_AUTH_MODE=iam", { REDIS_AUTH_MODE: "iam" }, "REDIS_AUTH_MODE", "password or oauth"),
  refused(
    "REDIS_AUTH_MODE=OAuth without anything else",
    { REDIS_AUTH_MODE: "OAuth", REDIS_TLS: "true" },
    "REDIS_OAUTH_TENANT_ID",
    "REDIS_OAUTH_CLIENT_ID",
    "REDIS_OAUTH_CLIENT_SECRET",
    "REDIS_OAUTH_SCOPE",
  ),
  refused("a blank REDIS_OAUTH_SCOPE", { ...OAUTH, REDIS_OAUTH_SCOPE: " " }, "REDIS_OAUTH_SCOPE"),
  refused("oauth without REDIS_TLS", { ...OAUTH, REDIS_TLS: "false" }, "REDIS_TLS=true"),
  refused(
    "REDIS_OAUTH_ALLOW_PLAINTEXT=maybe",
    { ...OAUTH, REDIS_OAUTH_ALLOW_PLAINTEXT: "maybe", REDIS_TLS: "false" },
    "REDIS_OAUTH_ALLOW_PLAINTEXT",
  ),
  refused(
    "an authority over http://",
    { ...OAUTH, REDIS_OAUTH_AUTHORITY_HOST: "http://login.example" },
    "REDIS_OAUTH_AUTHORITY_HOST",
    "https://",
  ),
  refused(
    "a refresh margin of 59 s",
    { ...OAUTH, REDIS_OAUTH_REFRESH_MARGIN_IN_S: "59" },
    "REDIS_OAUTH_REFRESH_MARGIN_IN_S",
    "60",
  ),
  refused(
    "a refresh margin that is no number",
    { ...OAUTH, REDIS_OAUTH_REFRESH_MARGIN_IN_S: "5m" },
    "REDIS_OAUTH_REFRESH_MARGIN_IN_S",
  ),
  refused("REDIS_TLS=TRUE", { REDIS_TLS: "TRUE" }, "REDIS_TLS", "true or false"),
  refused(
    "REDIS_CONNECTION_POOL_MAX_SIZE=0",
    { REDIS_CONNECTION_POOL_MAX_SIZE: "0" },
    "REDIS_CONNECTION_POOL_MAX_SIZE",
  ),
  refused(
    "a minimum of connections above the maximum",
    { REDIS_CONNECTION_POOL_MIN_SIZE: "3", REDIS_CONNECTION_POOL_MAX_SIZE: "2" },
    "REDIS_CONNECTION_POOL_MIN_SIZE",
  ),
  refused("a port that is no number", { REDIS_ENTERPRISE_PORT: "redis" }, "REDIS_ENTERPRISE_PORT"),
];

const USER = "REDIS_ENTERPRISE_USER";
const PASSWORD = "REDIS_ENTERPRISE_PASSWORD";
const OTHER_MEANING = "meaning of `REDIS_ENTERPRISE_PASSWORD`";
const POOL = "`REDIS_CONNECTION_POOL_MIN_SIZE`, `_MAX_SIZE`";

const same = (name: string, original: string, row: Omit<LoginRow, keyof DropInRow>): LoginRow => ({
  name,
  original,
  ours: "same",
  ...row,
});

/** Each names a Redis user of its own, or none. */
export const LOGIN_ROWS: readonly LoginRow[] = [
  same("a user and a password", "logs in with both", {
    env: { REDIS_AUTH_MODE: " Password ", [USER]: "both", [PASSWORD]: "p:w@/?#%" },
    user: "both",
    password: "p:w@/?#%",
  }),
  same("a user without a password", "logs in with an empty password (4.4)", {
    env: { [USER]: "without", REDIS_AUTH_MODE: "" },
    user: "without",
    password: "",
  }),
  same("an empty password of a user", "logs in with the empty password", {
    env: { [USER]: "empty", [PASSWORD]: "" },
    user: "empty",
    password: "",
  }),
  same("a password that looks percent-encoded", "takes it as it is (4.4)", {
    env: { [USER]: "literal", [PASSWORD]: "p%2Fw" },
    user: "literal",
    password: "p%2Fw",
  }),
  {
    name: "a percent-encoded password",
    original: "decodes it to 4.3, and is rejected by Redis from 4.4",
    ours: { does: "decodes it once Redis has rejected it as it is", subject: OTHER_MEANING },
    env: { [USER]: "encoded", [PASSWORD]: "p%2Fw%40" },
    user: "encoded",
    password: "p/w@",
  },
  {
    name: "a password in the form user:password",
    original: "splits it in 1.x, and is rejected by Redis later",
    ours: { does: "splits it once Redis has rejected it as it is", subject: OTHER_MEANING },
    env: { [PASSWORD]: "first:p%2Fw" },
    user: "first",
    password: "p/w",
  },
  same("malformed variables of the other mode", "ignores them", {
    env: {
      [USER]: "ignoring",
      [PASSWORD]: "p",
      REDIS_AUTH_MODE: "password",
      REDIS_OAUTH_REFRESH_MARGIN_IN_S: "x",
      REDIS_OAUTH_AUTHORITY_HOST: "x",
      REDIS_OAUTH_ALLOW_PLAINTEXT: "x",
    },
    user: "ignoring",
    password: "p",
    says: 'setting has no effect setting=REDIS_OAUTH_ALLOW_PLAINTEXT reason="REDIS_AUTH_MODE is password"',
  }),
  same("REDIS_MEMORYSTORE", "reads it, and does not use it", {
    env: { REDIS_MEMORYSTORE: "true", [USER]: "store", [PASSWORD]: "p" },
    user: "store",
    password: "p",
    says: "setting has no effect setting=REDIS_MEMORYSTORE",
  }),
  {
    name: "REDIS_CONNECTION_POOL_MAX_SIZE=100",
    original: "opens up to 100 connections, and one at the start",
    ours: { does: "opens up to 100 connections for large values, and one for small commands", subject: POOL },
    env: { REDIS_CONNECTION_POOL_MAX_SIZE: "100", [USER]: "pool", [PASSWORD]: "p" },
    user: "pool",
    password: "p",
  },
];

/** Rows that need a set-up of their own; the test of each is by its name. */
export const OTHER_ROWS = {
  default: same("a password alone", "logs in as the user default", { env: { [PASSWORD]: "of-default" } }),
  none: same("neither user nor password", "does not log in", { env: {} }),
  minimum: {
    name: "REDIS_CONNECTION_POOL_MIN_SIZE=4",
    original: "opens 4 connections at the start",
    ours: { does: "opens 4 connections for large values, and one for small commands", subject: POOL },
    env: { REDIS_CONNECTION_POOL_MIN_SIZE: "4", REDIS_CONNECTION_POOL_MAX_SIZE: "100" },
  },
  address: {
    name: "neither host nor port",
    original: "does not start",
    ours: { does: "uses 127.0.0.1:6379", subject: "no address of Redis" },
    env: {},
  },
  rejected: {
    name: "a password that Redis rejects",
    original: "serves without Redis until it is restarted",
    ours: {
      does: "serves, and connects when Redis accepts the password",
      subject: "Redis or the first access token missing at the start",
    },
    env: { [USER]: "late", [PASSWORD]: "p" },
  },
  untrusted: same(
    "REDIS_TLS=true, and a certificate of an unknown authority",
    "verifies it, and serves without Redis",
    {
      env: { REDIS_TLS: "true" },
    },
  ),
  authority: {
    name: "REDIS_TLS=true, and a certificate of the company's authority",
    original: "trusts the authorities of the system",
    ours: {
      does: "trusts those of Mozilla and NODE_EXTRA_CA_CERTS",
      subject: "authorities for `REDIS_TLS=true`",
    },
    env: { REDIS_TLS: "true" },
  },
  plaintext: same("REDIS_OAUTH_ALLOW_PLAINTEXT=yes", "sends tokens without TLS, and warns at the start", {
    env: { ...OAUTH, REDIS_TLS: "false", REDIS_OAUTH_ALLOW_PLAINTEXT: "yes" },
  }),
  request: same(
    "the request for a token",
    "is a form by POST to {authority}/{tenant}/oauth2/v2.0/token, without spaces around values",
    {
      env: { ...OAUTH, REDIS_OAUTH_CLIENT_SECRET: " s3cret-of-the-client\n" },
    },
  ),
  token: same("an access token", "is the password of the user default", { env: OAUTH }),
  named: same("REDIS_OAUTH_USERNAME", "is the user of the token", {
    env: { ...OAUTH, REDIS_OAUTH_USERNAME: "object-id" },
  }),
  outage: {
    name: "an authority that fails at the start",
    original: "serves without Redis until it is restarted",
    ours: {
      does: "serves, and connects when there is a token",
      subject: "Redis or the first access token missing at the start",
    },
    env: OAUTH,
  },
  renewed: {
    name: "a renewed access token",
    original: "is for new connections: the open ones are replaced",
    ours: { does: "is for all connections: the open ones log in with it", subject: "a renewed access token" },
    env: OAUTH,
  },
  secrets: same("the client secret and the token", "are never logged", { env: OAUTH }),
} satisfies Readonly<Record<string, LoginRow>>;
