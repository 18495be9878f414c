import { BlockList, isIP } from "node:net";

/** Returns the proxy for requests to a URL, as the variables of the environment name it; undefined if there is none. */
export function findProxy(
  url: string,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const names = url.startsWith("https:") ? ["HTTPS_PROXY", "https_proxy"] : ["HTTP_PROXY", "http_proxy"];
  const proxy = [...names, "ALL_PROXY", "all_proxy"].map((name) => env[name]).find(Boolean);
  return isExemptFromProxy(url, env["NO_PROXY"] || env["no_proxy"] || "") ? undefined : proxy;
}

/**
 * Returns whether `NO_PROXY` exempts the host of a URL from the proxy, by the rules of Bun's `fetch`: `*`, a host with all its
 * subdomains (`example.com`, `.example.com`, `*.example.com`), an address, or a range of addresses (`10.0.0.0/8`). Hosts and
 * addresses may have a port.
 */
export function isExemptFromProxy(url: string, noProxy: string): boolean {
  const { hostname, port, protocol } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const portNumber = port || (protocol === "https:" ? "443" : "80");
  return noProxy
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry === "*" || matches(entry, host, portNumber));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === "") return false;
  const [network = "", prefix] = entry.split("/");
  if (prefix !== undefined) return isInNetwork(host, network, Number(prefix));
  // An IPv6 address has several colons, and brackets if a port follows.
  const [, bracketed, bare, given] = /^(?:\[(.+)\]|([^:]+|.*:.*:.*?))(?::(\d+))?$/.exec(entry) ?? [];
  const name = (bracketed ?? bare ?? entry).replace(/^\*?\./, "");
  if (given !== undefined && given !== port) return false;
  return host === name || (isIP(host) === 0 && host.endsWith(`.${name}`));
}

function isInNetwork(host: string, network: string, prefix: number): boolean {
  const family = isIP(network) === 4 ? "ipv4" : "ipv6";
  const bits = family === "ipv4" ? 32 : 128;
  if (isIP(network) === 0 || isIP(host) !== isIP(network) || !(prefix >= 0 && prefix <= bits)) return false;
  const list = new BlockList();
  list.addSubnet(network, prefix, family);
  return list.check(host, family);
}
