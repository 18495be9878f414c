import type { RedisCredentials, Refuse } from "./environment.ts";
import { DEFAULT_REDIS_OPTIONS, type RedisAddress } from "./options.ts";
import { readHost, readWholeNumber } from "./read-hosts.ts";

export interface RedisUrl {
  readonly address: Extract<RedisAddress, { kind: "single" }>;
  readonly credentials: RedisCredentials;
  readonly tls: boolean;
}

const FORM = "redis://[[user]:password@]host[:port][/database], or rediss:// for TLS";

/** Of the text itself nothing is shown: where it can't be read, nobody knows what in it is the password. */
export function readRedisUrl(text: string, refuse: Refuse): RedisUrl {
  const [, scheme, authority = "", path = ""] = /^(rediss?):\/\/([^/?#]*)(?:\/([^?#]*))?$/i.exec(text) ?? [];
  if (scheme === undefined) {
    return refuse(`REDIS_URL can't be read, allowed is ${FORM}; / ? # in a password as %2F %3F %23`);
  }
  const at = authority.lastIndexOf("@");
  return {
    tls: scheme.toLowerCase() === "rediss",
    credentials: at < 0 ? {} : readUserInfo(authority.slice(0, at), refuse),
    address: readHostPart(authority.slice(at + 1), path, refuse),
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

function readHostPart(text: string, path: string, refuse: Refuse): RedisUrl["address"] {
  const defaults = DEFAULT_REDIS_OPTIONS.address as RedisUrl["address"];
  const [, host = "", port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(text) ?? ["", text];
  return {
    kind: "single",
    host: readHost("The host of REDIS_URL", host, refuse),
    port: port ? readWholeNumber("The port of REDIS_URL", port, [1, 65_535], refuse) : defaults.port,
    db: path === "" ? 0 : readWholeNumber("The database of REDIS_URL", path, [0, 1_000_000], refuse),
  };
}
