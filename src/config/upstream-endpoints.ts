import { ConfigError, displayUrl, type Environment, isProxied, readUrl } from "./settings.ts";

/** One of the servers that config specs and ID lists come from. */
export interface EndpointLocation {
  readonly url: string;
  /** Whether requests to it go through `HTTP_PROXY` or `HTTPS_PROXY`. */
  readonly proxied: boolean;
}

const VARIABLE = "STATSIG_ENDPOINT";
const DEFAULT_URL = "https://api.statsigcdn.com";
const EXPECTED = "expected URLs separated by commas, the preferred one first";

/** Enough for a CDN and relays of several regions. A poll may ask all of them, one after the other. */
const MAX_ENDPOINTS = 8;

/** Reads `STATSIG_ENDPOINT`: one URL, or several in the order of preference. Throws {@link ConfigError}. */
export function readEndpoints(
  env: Environment,
): readonly [preferred: EndpointLocation, ...others: EndpointLocation[]] {
  const [first = "", ...rest] = (env[VARIABLE] ?? "").split(",").map((part) => part.trim());
  const parts = [first, ...rest];
  if (rest.length > 0) checkList(parts);
  const locate = (part: string): EndpointLocation => {
    const url = readUrl({ [VARIABLE]: part }, VARIABLE, DEFAULT_URL);
    return { url, proxied: isProxied(url, env) };
  };
  const endpoints = [locate(first), ...rest.map(locate)] as const;
  checkDuplicates(endpoints.map(({ url }) => url));
  return endpoints;
}

function checkList(parts: readonly string[]): void {
  const empty = parts.indexOf("");
  if (empty >= 0)
    throw new ConfigError(`entry ${empty + 1} of ${parts.length} in ${VARIABLE} is empty (${EXPECTED})`);
  if (parts.length <= MAX_ENDPOINTS) return;
  throw new ConfigError(`${VARIABLE} lists ${parts.length} URLs (expected at most ${MAX_ENDPOINTS})`);
}

function checkDuplicates(urls: readonly string[]): void {
  const shown = urls.map(displayUrl);
  const twice = shown.find((url, at) => shown.indexOf(url) !== at);
  if (twice !== undefined) throw new ConfigError(`${VARIABLE} lists ${twice} twice (${EXPECTED})`);
}
