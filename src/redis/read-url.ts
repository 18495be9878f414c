import type { RedisCredentials, Refuse } from "./environment.ts";
import { DEFAULT_PORT, type RedisAddress } from "./options.ts";
import { readHostAndPort } from "./read-hosts.ts";

export interface RedisUrl {
  readonly address: Extract<RedisAddress, { kind: "single" }>;
  readonly credentials: RedisCredentials;
  readonly tls: boolean;
}

const MAX_DATABASE = 1_000_000;
const FORM = "redis://[[user]:password@]host[:port][/database], or rediss:// for TLS";

/** Nothing of the text is shown: in one that can't be read, nobody knows what is the password. */
export function readRedisUrl(text: string, refuse: Refuse): RedisUrl {
  const [, scheme, authority = "", path = ""] = /^(rediss?):\/\/([^/?#]*)(?:\/(\d*))?$/i.exec(text) ?? [];
  if (scheme === undefined) {
    return refuse(`REDIS_URL can't be read, allowed is ${FORM}; / ? # in a password as %2F %3F %23`);
  }
  const at = authority.lastIndexOf("@");
  return {
    tls: scheme.toLowerCase() === "rediss",
    credentials: at < 0 ? {} : readUserInfo(authority.slice(0, at), refuse),
    address: readPlace(authority.slice(at + 1), path, refuse),
  };
}

function readUserInfo(text: string, refuse: Refuse): RedisCredentials {
  const colon = text.indexOf(":");
  const user = decoded(colon < 0 ? text : text.slice(0, colon), refuse);
  const password = colon < 0 ? "" : decoded(text.slice(colon + 1), refuse);
  if (password === "") return refuse(`REDIS_URL names a user without a password, allowed is ${FORM}`);
  return { password, ...(user !== "" && { user }) };
}

function decoded(text: string, refuse: Refuse): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse("REDIS_URL has a user or password with a % that encodes nothing, allowed for it is %25");
  }
}

function readPlace(text: string, path: string, refuse: Refuse): RedisUrl["address"] {
  const place = readHostAndPort(text, DEFAULT_PORT);
  if (place === undefined) return refuse(`REDIS_URL has no usable host and port, allowed is ${FORM}`);
  const db = Number(path);
  if (db > MAX_DATABASE) refuse(`REDIS_URL has no usable database, allowed is 0 to ${MAX_DATABASE}`);
  return { kind: "single", ...place, db };
}
