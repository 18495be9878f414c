import { CACHE_OPTIONS } from "./cache.ts";
import { LIMIT_OPTIONS } from "./limits.ts";
import { EVENT_OPTIONS } from "./log-events.ts";
import { MONITORING_OPTIONS } from "./monitoring.ts";
import { type OptionSpec, POSITIONALS } from "./option.ts";
import type { Environment, FindSetting, GivenConfig, SettingName } from "./settings.ts";
import { TLS_OPTIONS } from "./tls.ts";

const port = { kind: "integer", min: 0, max: 65_535, placeholder: "PORT" } as const;

/** Every option, in the order of `--help`. Names, short names and defaults of the original proxy must stay. */
export const OPTIONS = [
  {
    name: "config",
    kind: "text",
    placeholder: "FILE",
    description:
      "YAML or TOML file with options, by their names without dashes; flags and variables go first",
  },
  {
    name: "maximum-concurrent-sdk-keys",
    short: "m",
    kind: "integer",
    default: "1000",
    min: 1,
    max: 1_000_000,
    placeholder: "KEYS",
    description: "SDK keys held at once; for one more, the least recently used goes",
  },
  {
    name: "polling-interval-in-s",
    short: "p",
    kind: "integer",
    default: "10",
    min: 1,
    max: 86_400,
    placeholder: "SECONDS",
    isLive: true,
    description: "How often upstream is asked for newer config specs",
  },
  {
    name: "update-batch-size",
    short: "u",
    kind: "integer",
    default: "64",
    min: 1,
    max: 10_000,
    placeholder: "REQUESTS",
    description:
      "Requests to upstream that make progress at once; up to as many again, 192 in all, may wait for a first or next byte",
  },
  {
    name: "grpc-max-concurrent-streams",
    short: "g",
    kind: "integer",
    default: "500",
    min: 1,
    max: 1_000_000,
    placeholder: "STREAMS",
    isLive: true,
    description: "Open gRPC streams, of all clients together",
  },
  {
    name: "clear-datastore-on-unauthorized",
    kind: "flag",
    description: "Drop a key's config specs when upstream answers 401 or 403; else they are served on",
  },
  ...CACHE_OPTIONS,
  {
    name: "preload-sdk-keys",
    kind: "text",
    isList: true,
    isSecret: true,
    placeholder: "KEYS|@FILE",
    isLive: true,
    description: "SDK keys to fetch before the first client asks: a comma list, or a file by @path",
  },
  {
    name: "proxy-id-lists",
    kind: "flag",
    description: "Keep the files of ID lists on disk and serve them; else clients fetch them upstream",
  },
  {
    name: "public-url",
    kind: "text",
    placeholder: "URL",
    description: "How clients reach the relay, for the urls of ID lists (Default: as their request did)",
  },
  {
    name: "id-lists-max-in-mb",
    kind: "integer",
    default: "4096",
    min: 1,
    max: 1_048_576,
    placeholder: "MB",
    description: "Size of all ID list files on disk together; beyond, no further ones are fetched",
  },
  {
    name: "id-list-downloads",
    kind: "integer",
    default: "32",
    min: 1,
    max: 128,
    placeholder: "FILES",
    description: "ID list files downloaded at once; one SDK key may use three quarters of them",
  },
  {
    name: "bind-address",
    kind: "text",
    default: "::",
    placeholder: "ADDRESS",
    description: "Address to listen on; :: is every IPv6 and IPv4 address",
  },
  ...EVENT_OPTIONS,
  { name: "http-port", ...port, default: "8000", description: "HTTP port; 0 for any free one" },
  { name: "grpc-port", ...port, default: "50051", description: "gRPC port; 0 for any free one" },
  ...TLS_OPTIONS,
  ...LIMIT_OPTIONS,
  ...MONITORING_OPTIONS,
  {
    name: "shutdown-grace-in-s",
    kind: "integer",
    default: "10",
    min: 0,
    max: 3_600,
    placeholder: "SECONDS",
    isLive: true,
    description: "How long requests in flight may take after SIGTERM",
  },
  {
    name: "debug-logging",
    kind: "flag",
    isLive: true,
    description: "Log every event: polls, requests, streams, with how long they took",
  },
] as const satisfies readonly OptionSpec[];

/** Those that are no setting: they print something and end. */
export const PRINT_OPTIONS: readonly OptionSpec[] = [
  { name: "help", short: "h", kind: "flag", description: "Print help" },
  { name: "version", short: "V", kind: "flag", description: "Print version" },
];

/** In the place of a relay. */
export const PRINT_CONFIG: OptionSpec = {
  name: "print-config",
  kind: "flag",
  description: "Print the configuration and where each value came from, as YAML for --config",
};

export const ALL_OPTIONS: readonly OptionSpec[] = [...OPTIONS, PRINT_CONFIG, ...PRINT_OPTIONS];

export const NAME = "statsig-forward-proxy";

export type OptionName = (typeof OPTIONS)[number]["name"];

export function environmentName(option: Pick<OptionSpec, "name">): string {
  return `SFP_${option.name.toUpperCase().replaceAll("-", "_")}`;
}

/** Secrets: they have no place on a command line, which every process of a machine can read. */
const SECRET_VARIABLES = ["SFP_X509_SERVER_KEY_PASSPHRASE"];

/** Names that begin as ours do and are none of them: likely misspelt. */
export function unknownVariables(env: Environment): readonly string[] {
  const known = new Set([...SETTINGS.map(environmentName), ...SECRET_VARIABLES]);
  return Object.keys(env).filter((name) => name.startsWith("SFP_") && !known.has(name));
}

/** Everything that can be set, in the order of `--help`. */
export const SETTINGS: readonly (OptionSpec & { readonly name: SettingName })[] = [
  ...POSITIONALS,
  ...OPTIONS,
];

const BY_NAME: ReadonlyMap<string, OptionSpec> = new Map(SETTINGS.map((option) => [option.name, option]));

/** A flag goes before the environment, the environment before the file, the file before the default. */
export function findSetting({ mode, cache, values, file }: GivenConfig, env: Environment): FindSetting {
  const words: Readonly<Record<string, string | undefined>> = { mode, cache };
  return (name) => {
    const option = BY_NAME.get(name) ?? { name, kind: "text", description: "" };
    const shown = name in words ? `<${name.toUpperCase()}>` : `--${name}`;
    const flag = words[name] ?? values.get(name);
    if (flag !== undefined) return { option, text: flag, source: "flag", shown };
    const variable = environmentName(option);
    const set = env[variable];
    if (set) return { option, text: set, source: "environment", shown: variable };
    const inFile = file?.values.get(name);
    if (file !== undefined && inFile !== undefined) {
      return { option, text: inFile, source: "file", shown: `${name} in ${file.path}` };
    }
    return { option, text: option.default ?? "", source: "default", shown };
  };
}
