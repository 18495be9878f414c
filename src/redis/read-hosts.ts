import type { Refuse } from "./environment.ts";
import type { RedisHost } from "./options.ts";

/** A name, an IPv4 or an IPv6 address. */
const HOST_FORM = /^(?:[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?)$/;

/** `host`, `host:port` or `[IPv6]:port`. */
const HOST_AND_PORT_FORM = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/;

export function readHost(name: string, text: string, refuse: Refuse): string {
  const host = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  return HOST_FORM.test(host)
    ? host
    : refuse(`${name} is "${text}", allowed is a host name or an IP address`);
}

/** A comma list of hosts, each with a port or without. */
export function readHosts(
  name: string,
  text: string,
  defaultPort: number,
  refuse: Refuse,
): readonly RedisHost[] {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== "");
  if (entries.length === 0) refuse(`${name} names no host, allowed is a comma list of host:port`);
  return entries.map((entry) => readEntry(name, entry, defaultPort, refuse));
}

function readEntry(name: string, entry: string, defaultPort: number, refuse: Refuse): RedisHost {
  const host = readHostAndPort(entry, defaultPort);
  if (host !== undefined) return host;
  // Up to the @ there may be a password.
  const shown = entry.slice(entry.lastIndexOf("@") + 1);
  return refuse(`${name} has "${shown}", allowed is a comma list of host:port, without user or password`);
}

/** Undefined where the text is neither `host` nor `host:port`. */
export function readHostAndPort(text: string, defaultPort: number): RedisHost | undefined {
  const [, v6, plain, portText] = HOST_AND_PORT_FORM.exec(text) ?? [];
  const host = v6 ?? plain ?? "";
  const port = portText === undefined ? defaultPort : Number(portText);
  return HOST_FORM.test(host) && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

export function readWholeNumber(
  name: string,
  text: string,
  [min, max]: readonly [number, number],
  refuse: Refuse,
): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  return refuse(`${name} is "${text}", allowed is a whole number from ${min} to ${max}`);
}
