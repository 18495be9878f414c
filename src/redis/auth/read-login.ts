import type { EntraOptions, RedisEnvironment, RedisLogin, Reject } from "../options.ts";

/** How connections log in, by `REDIS_AUTH_MODE`. */
interface RedisLoginOptions extends RedisLogin {
  readonly otherLogins?: readonly RedisLogin[];
  readonly entra?: EntraOptions;
}

/** `inUrl` is the login in REDIS_URL, and `hasTls` whether connections use TLS. */
export function readLogin(
  env: RedisEnvironment,
  { inUrl, hasTls }: { readonly inUrl: RedisLogin | undefined; readonly hasTls: boolean },
  reject: Reject,
): RedisLoginOptions {
  const mode = (env["REDIS_AUTH_MODE"] ?? "").trim().toLowerCase();
  if (mode === "oauth") return { entra: readEntra(env, hasTls, reject) };
  if (mode !== "" && mode !== "password") {
    reject(`invalid value "${env["REDIS_AUTH_MODE"]}" for REDIS_AUTH_MODE (expected password or oauth)`);
  }
  return readPassword(env, inUrl, reject);
}

const PASSWORD_VARIABLES = ["REDIS_ENTERPRISE_USER", "REDIS_ENTERPRISE_PASSWORD"];

/** Returns the variables that are set and belong to the other mode, where they are not read. */
export function findUnreadLoginVariables(
  env: RedisEnvironment,
  { entra }: RedisLoginOptions,
): readonly string[] {
  const isUnread = (name: string) =>
    entra === undefined ? name.startsWith("REDIS_OAUTH_") : PASSWORD_VARIABLES.includes(name);
  return Object.keys(env).filter((name) => env[name] && isUnread(name));
}

/** A user without a password logs in with an empty one, as users of Redis Enterprise do that only the network protects. */
function readPassword(
  env: RedisEnvironment,
  inUrl: RedisLogin | undefined,
  reject: Reject,
): RedisLoginOptions {
  const [user = "", password = ""] = [env["REDIS_ENTERPRISE_USER"], env["REDIS_ENTERPRISE_PASSWORD"]];
  if (user === "" && password === "") return inUrl ?? {};
  if (inUrl?.password !== undefined) {
    const name = user ? "REDIS_ENTERPRISE_USER" : "REDIS_ENTERPRISE_PASSWORD";
    reject(`${name} is set and REDIS_URL has a password (expected only one of them)`);
  }
  const otherLogins = findOtherLogins(user, password);
  return {
    password,
    ...(user !== "" && { user }),
    ...(otherLogins.length > 0 && { otherLogins }),
  };
}

/**
 * Returns what user and password meant to older versions of the original proxy, as far as that differs. From 2.x to 4.3 both
 * were parts of a URL, so percent-encoded. In 1.x the password was all of the part before the @: `:password` or `user:password`.
 */
function findOtherLogins(user: string, password: string): readonly RedisLogin[] {
  const decoded = { ...(user !== "" && { user: decode(user) }), password: decode(password) };
  const isEncoded = decoded.password !== password || (user !== "" && decoded.user !== user);
  const colon = user === "" ? password.indexOf(":") : -1;
  const before = decode(password.slice(0, Math.max(0, colon)));
  return [
    ...(isEncoded ? [decoded] : []),
    ...(colon < 0
      ? []
      : [{ ...(before !== "" && { user: before }), password: decode(password.slice(colon + 1)) }]),
  ];
}

/** Returns the text unchanged if its % signs are no percent-encoding. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const REQUIRED = {
  tenantId: "REDIS_OAUTH_TENANT_ID",
  clientId: "REDIS_OAUTH_CLIENT_ID",
  clientSecret: "REDIS_OAUTH_CLIENT_SECRET",
  scope: "REDIS_OAUTH_SCOPE",
} as const;

export const DEFAULT_AUTHORITY = "https://login.microsoftonline.com";

/** A replacement that is requested later might come after Redis has closed connections because of their token. */
const MIN_REFRESH_MARGIN_S = 60;
const MAX_REFRESH_MARGIN_S = 1_000_000_000;

/** Values are trimmed: a secret that is mounted as a file often ends with a newline. */
function readEntra(env: RedisEnvironment, hasTls: boolean, reject: Reject): EntraOptions {
  const text = (name: string) => (env[name] ?? "").trim();
  const missing = Object.values(REQUIRED).filter((name) => text(name) === "");
  if (missing.length > 0)
    reject(`REDIS_AUTH_MODE is oauth without ${missing.join(", ")} (expected all of them)`);
  if (!hasTls && !readFlag("REDIS_OAUTH_ALLOW_PLAINTEXT", text("REDIS_OAUTH_ALLOW_PLAINTEXT"), reject)) {
    reject(
      "REDIS_AUTH_MODE is oauth without TLS to Redis, so anyone on the network could read the access token (expected REDIS_TLS=true, or REDIS_OAUTH_ALLOW_PLAINTEXT=true if something else encrypts the connection)",
    );
  }
  const user = text("REDIS_OAUTH_USERNAME");
  const refreshMarginMs = readRefreshMargin(text("REDIS_OAUTH_REFRESH_MARGIN_IN_S"), reject);
  return {
    authority: readAuthority(text("REDIS_OAUTH_AUTHORITY_HOST"), reject),
    tenantId: text(REQUIRED.tenantId),
    clientId: text(REQUIRED.clientId),
    clientSecret: text(REQUIRED.clientSecret),
    scope: text(REQUIRED.scope),
    ...(user !== "" && { user }),
    ...(refreshMarginMs !== undefined && { refreshMarginMs }),
  };
}

function readAuthority(given: string, reject: Reject): string {
  if (given === "") return DEFAULT_AUTHORITY;
  if (!URL.canParse(given) || new URL(given).protocol !== "https:") {
    reject(
      `invalid value "${given.slice(given.lastIndexOf("@") + 1)}" for REDIS_OAUTH_AUTHORITY_HOST (expected an https:// URL, because the client secret is sent there)`,
    );
  }
  return given.replace(/\/+$/, "");
}

function readRefreshMargin(given: string, reject: Reject): number | undefined {
  if (given === "") return undefined;
  const seconds = /^\d{1,10}$/.test(given) ? Number(given) : Number.NaN;
  if (seconds >= MIN_REFRESH_MARGIN_S && seconds <= MAX_REFRESH_MARGIN_S) return seconds * 1_000;
  return reject(
    `invalid value "${given}" for REDIS_OAUTH_REFRESH_MARGIN_IN_S (expected a whole number from ${MIN_REFRESH_MARGIN_S} to ${MAX_REFRESH_MARGIN_S})`,
  );
}

const FLAG_WORDS = new Map([
  ["true", true],
  ["1", true],
  ["yes", true],
  ["", false],
  ["false", false],
  ["0", false],
  ["no", false],
]);

function readFlag(name: string, given: string, reject: Reject): boolean {
  return (
    FLAG_WORDS.get(given.toLowerCase()) ??
    reject(`invalid value "${given}" for ${name} (expected true or false)`)
  );
}
