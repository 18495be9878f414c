import { redactUserInfo } from "../access/redact.ts";
import type { DoubtfulVariable } from "./option.ts";
import type { Environment } from "./settings.ts";

/** The variables from which `fetch` takes its proxy. */
export const PROXY_NAMES: readonly string[] = [
  ...["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
];

const METADATA_HOSTS = ["169.254.169.254", "metadata.google.internal", "metadata.google.internal."];

/**
 * Returns the value of NO_PROXY with which no proxy is asked for Google's metadata server: it is another one on each machine, and
 * hands out access tokens.
 */
export function exemptMetadataServer(env: Environment): string {
  const given = env["NO_PROXY"] || env["no_proxy"];
  const hosts = [env["GCE_METADATA_IP"], env["GCE_METADATA_HOST"]].map((host) =>
    host?.replace(/^https?:\/\//, "").replace(/:\d+\/*$/, ""),
  );
  return [given, ...METADATA_HOSTS, ...hosts].filter(Boolean).join(",");
}

interface ReadProxies {
  /** The environment without proxies that cannot be used. */
  readonly env: Environment;
  readonly doubtful: readonly DoubtfulVariable[];
}

/**
 * Checks the variables of proxies. One that cannot be used is removed with its reason, as the original proxy ignores it: a variable
 * that other programs read as well must not keep the relay from starting.
 */
export function readProxies(env: Environment): ReadProxies {
  const doubtful: DoubtfulVariable[] = [];
  const unusable = new Set<string>();
  for (const variable of PROXY_NAMES) {
    const text = env[variable];
    if (!text) continue;
    const problem = findProblem(text);
    if (problem === undefined) continue;
    if (problem.isUnusable) unusable.add(variable);
    doubtful.push({ variable, reason: problem.reason });
  }
  const isProxied = PROXY_NAMES.some((name) => env[name] && !unusable.has(name));
  for (const variable of isProxied ? ["NO_PROXY", "no_proxy"] : []) {
    const reason = findVainException(env[variable] ?? "");
    if (reason !== undefined) doubtful.push({ variable, reason });
  }
  const kept = Object.entries(env).filter(([name]) => !unusable.has(name));
  return { env: Object.fromEntries(kept), doubtful };
}

const EXAMPLE = "http://proxy.example:3128";

interface ProxyProblem {
  readonly isUnusable: boolean;
  readonly reason: string;
}

function findProblem(text: string): ProxyProblem | undefined {
  const unusable = (reason: string) => ({
    isUnusable: true,
    reason: `${reason} (expected such as ${EXAMPLE})`,
  });
  const [, scheme = ""] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text) ?? [];
  const isSocks = scheme.toLowerCase().startsWith("socks");
  if (isSocks) return unusable("SOCKS proxies are not supported, so it is ignored");
  if (scheme !== "" && !/^https?$/i.test(scheme)) return unusable(`the scheme ${scheme}:// is ignored`);
  const url = URL.parse(scheme === "" ? `http://${text}` : text);
  if (url === null || text !== text.trim()) return unusable("it is not the URL of a proxy, so it is ignored");
  if (scheme !== "" || url.port !== "" || /:80\/?$/.test(text)) return undefined;
  const { hostname } = url;
  const reason = `it has no port, so the proxy is ${hostname}:80 (write http://${hostname}:3128 for another port)`;
  return { isUnusable: false, reason };
}

/** Returns why an entry of NO_PROXY matches no host. */
function findVainException(text: string): string | undefined {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== "");
  for (const entry of entries) {
    const shown = `the entry ${redactUserInfo(entry)} matches no host`;
    const host = entry.replace(/^[a-z]+:\/\//i, "").replace(/\/.*$/, "");
    if (entry.includes("://")) return `${shown} (write ${redactUserInfo(host)}, without the scheme)`;
    if (/^\*\../.test(entry)) return `${shown} (write ${entry.slice(1)}, without the star)`;
    if (entry.includes(";")) return `${shown} (separate entries by commas)`;
  }
  return undefined;
}
