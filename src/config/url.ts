import { redactUserInfo } from "../access/redact.ts";
import { withoutQuotes } from "./hints.ts";
import type { DoubtfulVariable } from "./option.ts";

export const HTTP_URL = "an http:// or https:// URL";

export function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

/** What is wrong with a URL. */
interface UrlProblem {
  /** The text as errors show it: a path may hold an SDK key. */
  readonly shown: string;
  readonly expected: string;
  /** The URL that is likely meant. */
  readonly meant?: string | undefined;
}

/** The paths that are added to a base URL. Without its version, the name of an endpoint may be a folder of someone's gateway. */
const API_PATH =
  /\/(?:(?:v\d\/+)?download_config_specs|v\d\/+(?:get_id_lists|download_id_list_file|log_event|rgstr))\b/;

/** Returns what is wrong with the base URL of an API, to which paths are added. Returns undefined if nothing is. */
export function findUrlProblem(text: string): UrlProblem | undefined {
  const endpoint = API_PATH.exec(text);
  const base = endpoint === null ? text : text.slice(0, endpoint.index);
  // What follows the name of an endpoint is an SDK key.
  const shown = endpoint === null ? redactUserInfo(text) : `${redactUserInfo(base)}${endpoint[0]}…`;
  if (!isHttpUrl(text)) return { shown, expected: HTTP_URL, meant: meantUrl(base) };
  if (endpoint !== null) {
    return {
      shown,
      expected: "a URL without the path of an endpoint, which is added to it",
      meant: toBase(base),
    };
  }
  const { search, hash } = new URL(text);
  if (search === "" && hash === "") return undefined;
  const meant = toBase(text);
  return { shown: `${meant}${search === "" ? "#" : "?"}…`, expected: "a URL without ? and #", meant };
}

/** Returns the URL without user, password, query and fragment. */
function toBase(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname.replace(/\/$/, "");
}

/** SDKs take the API's address with a version, the relay takes it without. */
const VERSION_END = /\/v\d\/?$/;

const ADDRESS = /^(?<host>[\w.-]+|\[[\da-f:.]+\])(?::(?<port>\d{1,5}))?(?:\/[\w./-]*)?$/i;

/** Returns the URL that a text without a valid scheme likely means: Statsig has https://, and servers of one's own mostly have not. */
function meantUrl(text: string): string | undefined {
  const plain = withoutQuotes(text);
  const address = plain.replace(/^(?:[a-z][a-z0-9+.-]*:)?\/+/i, "");
  const { host, port = "" } = ADDRESS.exec(address)?.groups ?? {};
  if (host === undefined) return undefined;
  const isPublic = port === "" && /\.[a-z-]*$/i.test(host);
  const isSecure = /^https/i.test(plain) || port === "443" || (isPublic && !/^http:/i.test(plain));
  const url = `${isSecure ? "https" : "http"}://${address.replace(VERSION_END, "")}`;
  return isHttpUrl(url) ? url : undefined;
}

/** Returns the base URLs whose path ends with the version of the API, which is added to them. */
export function findDoubtfulUrls(
  env: Readonly<Record<string, string | undefined>>,
): readonly DoubtfulVariable[] {
  return BASE_URL_VARIABLES.flatMap((variable) => {
    const urls = (env[variable] ?? "").split(",").map((url) => url.trim());
    return urls.flatMap((url) => {
      const [version] = VERSION_END.exec(url) ?? [];
      if (version === undefined) return [];
      const base = redactUserInfo(url.replace(VERSION_END, ""));
      const reason = `paths such as /v2/download_config_specs are added to it (write ${base}, unless it needs ${version} as well)`;
      return [{ variable, reason }];
    });
  });
}

const BASE_URL_VARIABLES = [
  "STATSIG_ENDPOINT",
  "STATSIG_ENDPOINT_DOWNLOAD_ID_LIST_FILE",
  "LOG_EVENT_STATSIG_ENDPOINT",
];
