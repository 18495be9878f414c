import type { OptionGroup } from "./option.ts";
import { ConfigError, type Environment, isHttpUrl, isProxied, readUrl, type Settings } from "./settings.ts";

export interface IdListConfig {
  /** `STATSIG_ENDPOINT`, else where Statsig has the manifests. */
  readonly upstreamUrl: string;
  readonly upstreamProxied: boolean;
  /** The relay serves the files itself. */
  readonly proxied: boolean;
  /** Without a slash at its end; undefined where each request tells. */
  readonly publicUrl: string | undefined;
  /** Of all files together. */
  readonly maxBytes: number;
  /** Files downloaded at once. */
  readonly maxDownloads: number;
}

const DEFAULT_UPSTREAM_URL = "https://api.statsig.com";

/** Throws {@link ConfigError}. */
export function readIdLists(settings: Settings, env: Environment): IdListConfig {
  const upstreamUrl = readUrl(env, "STATSIG_ENDPOINT", DEFAULT_UPSTREAM_URL);
  const publicUrl = settings.text(ID_LISTS.publicUrl);
  if (publicUrl !== "" && !isHttpUrl(publicUrl)) {
    const shown = settings.shown(ID_LISTS.publicUrl);
    throw new ConfigError(`${shown} is "${publicUrl}", allowed is an http:// or https:// URL`);
  }
  return {
    upstreamUrl,
    upstreamProxied: isProxied(upstreamUrl, env),
    proxied: settings.flag(ID_LISTS.proxyIdLists),
    publicUrl: publicUrl.replace(/\/+$/, "") || undefined,
    maxBytes: settings.integer(ID_LISTS.idListsMaxInMb) * 1024 * 1024,
    maxDownloads: settings.integer(ID_LISTS.idListDownloads),
  };
}

export const ID_LISTS = {
  proxyIdLists: {
    name: "proxy-id-lists",
    kind: "flag",
    description: "Keep the files of ID lists on disk and serve them; else clients fetch them upstream",
  },
  publicUrl: {
    name: "public-url",
    kind: "text",
    placeholder: "URL",
    description: "How clients reach the relay, for the urls of ID lists (Default: as their request did)",
  },
  idListsMaxInMb: {
    name: "id-lists-max-in-mb",
    kind: "integer",
    default: "4096",
    min: 1,
    max: 1_048_576,
    placeholder: "MB",
    description: "Size of all ID list files on disk together; beyond, no further ones are fetched",
  },
  idListDownloads: {
    name: "id-list-downloads",
    kind: "integer",
    default: "32",
    min: 1,
    max: 128,
    placeholder: "FILES",
    description: "ID list files downloaded at once; one SDK key may use three quarters of them",
  },
} as const satisfies OptionGroup;
