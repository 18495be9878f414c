import type { Environment } from "./settings.ts";

export function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

/** Whether requests to it go through a proxy. */
export function isProxied(upstreamUrl: string, env: Environment): boolean {
  const names = upstreamUrl.startsWith("https:")
    ? ["HTTPS_PROXY", "https_proxy"]
    : ["HTTP_PROXY", "http_proxy"];
  return [...names, "ALL_PROXY", "all_proxy"].some((name) => Boolean(env[name]));
}

/** Where it is, without user and password, for people. */
export function shownUrl(upstreamUrl: string): string {
  const { origin, pathname } = new URL(upstreamUrl);
  return origin + pathname.replace(/\/$/, "");
}
