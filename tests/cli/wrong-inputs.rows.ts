import { HELP } from "../../src/cli/subcommands.ts";
import { formatAlternatives } from "../../src/config/settings.ts";

/** What a user may type, paste or set by mistake, and the answer. `FOLDER` stands for the folder of {@link FILES}. */
export interface WrongInput {
  readonly name: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The whole line on standard error, after `error: `. */
  readonly error: string;
}

const START = ["http", "disabled"];

/** The files that rows name, by their names. */
export const FILES: Readonly<Record<string, string | Uint8Array>> = {
  "empty.txt": "",
  "utf16.txt": Buffer.from("\ufeffsecret-a\n", "utf16le"),
  "quoted.json": '["secret-a"]\n',
  "tab.yaml": "mode: http\n\thttp-port: 5\n",
  "duplicate.yaml": "http-port: 1\nhttp-port: 2\n",
  "list.yaml": "http-port: [1, 2]\n",
  "near.yaml": "polling-intervall-in-s: 5\n",
  "variable.yaml": "SFP_HTTP_PORT: 5\n",
  "unit.yaml": "polling-interval-in-s: 10s\n",
};

const ofUrl = (value: string, error: string, name = `STATSIG_ENDPOINT=${value}`): WrongInput => ({
  name,
  args: START,
  env: { STATSIG_ENDPOINT: value },
  error,
});

const invalidUrl = (value: string, meant?: string): WrongInput =>
  ofUrl(
    value,
    `invalid value "${value}" for STATSIG_ENDPOINT (expected an http:// or https:// URL${meant === undefined ? "" : `; did you mean ${meant}?`})`,
  );

const URLS: readonly WrongInput[] = [
  invalidUrl(":::"),
  invalidUrl("api.statsigcdn.com", "https://api.statsigcdn.com"),
  invalidUrl("api.statsigcdn.com/v1", "https://api.statsigcdn.com"),
  invalidUrl("localhost:8000", "http://localhost:8000"),
  invalidUrl("ftp://relay", "http://relay"),
  invalidUrl("https:/api.statsigcdn.com:x", undefined),
  invalidUrl('"https://api.statsigcdn.com"', "https://api.statsigcdn.com"),
  invalidUrl("“https://api.statsigcdn.com”", "https://api.statsigcdn.com"),
  ofUrl(
    "https://api.statsigcdn.com/v2/download_config_specs/secret-0123456789abcdef.json",
    'invalid value "https://api.statsigcdn.com/v2/download_config_specs…" for STATSIG_ENDPOINT (expected a URL without the path of an endpoint, which is added to it; did you mean https://api.statsigcdn.com?)',
    "STATSIG_ENDPOINT with the path of an SDK key",
  ),
  ofUrl(
    "api.statsigcdn.com/v1/download_config_specs/secret-0123456789abcdef.json",
    'invalid value "api.statsigcdn.com/v1/download_config_specs…" for STATSIG_ENDPOINT (expected an http:// or https:// URL; did you mean https://api.statsigcdn.com?)',
    "STATSIG_ENDPOINT with the path of an SDK key and without a scheme",
  ),
  ofUrl(
    "https://relay.example/sfp?region=eu",
    'invalid value "https://relay.example/sfp?…" for STATSIG_ENDPOINT (expected a URL without ? and #; did you mean https://relay.example/sfp?)',
  ),
  {
    name: "LOG_EVENT_STATSIG_ENDPOINT with the path of the endpoint",
    args: START,
    env: { LOG_EVENT_STATSIG_ENDPOINT: "https://statsigapi.net/v1/log_event" },
    error:
      'invalid value "https://statsigapi.net/v1/log_event…" for LOG_EVENT_STATSIG_ENDPOINT (expected a URL without the path of an endpoint, which is added to it; did you mean https://statsigapi.net?)',
  },
  {
    name: "a user and a password before a wrong scheme are not shown",
    args: START,
    env: { STATSIG_ENDPOINT: "ftp://user:pa55word@relay" },
    error: 'invalid value "ftp://…@relay" for STATSIG_ENDPOINT (expected an http:// or https:// URL)',
  },
];

const REDIS_FORM =
  "redis://host:port/database, with user:password@ before the host if Redis needs a login, or rediss:// for TLS";

const ofRedis = (url: string, hint: string): WrongInput => ({
  name: `REDIS_URL=${url}`,
  args: ["http", "redis"],
  env: { REDIS_URL: url },
  error: `REDIS_URL is malformed (expected ${REDIS_FORM}; ${hint})`,
});

const REDIS: readonly WrongInput[] = [
  ...["redis:6379", "localhost:6379", "[::1]:6379"].map((url) =>
    ofRedis(url, `did you mean redis://${url}?`),
  ),
  ofRedis('"redis://redis:6379"', "remove the quotes"),
  ofRedis("http://redis:6379", "write / ? # in a password as %2F %3F %23"),
];

const samePort = (args: readonly string[], error: string): WrongInput => ({
  name: `two options have one port: ${args.join(" ")}`,
  args: ["grpc-and-http", "disabled", ...args],
  error: `${error} (expected a port of its own)`,
});

const PORTS: readonly WrongInput[] = [
  samePort(["--http-port", "9000", "--grpc-port", "9000"], "--grpc-port is 9000, as is --http-port"),
  samePort(["--management-port", "50051"], "--management-port is 50051, as is --grpc-port"),
  samePort(
    ["--http-port", "9000", "--management-port", "9000", "--management-address", "127.0.0.1"],
    "--management-port is 9000, as is --http-port",
  ),
];

const ofKeys = (keys: string, problem: string): WrongInput => ({
  name: `--preload-sdk-keys ${keys}`,
  args: [...START, "--preload-sdk-keys", keys],
  error: `--preload-sdk-keys: ${problem}`,
});

const QUOTED = "is in quotes or brackets (expected the key alone; separate keys by commas or line ends)";

const KEYS: readonly WrongInput[] = [
  ofKeys('"secret-a"', `entry 1 ${QUOTED}`),
  ofKeys("secret-a,“secret-b”", `entry 2 ${QUOTED}`),
  ofKeys("@FOLDER/quoted.json", `entry 1 ${QUOTED}`),
  ofKeys(
    "console-0123456789",
    "entry 1 is a key of Statsig's Console API (expected a server SDK key, which begins with secret-)",
  ),
  ofKeys(
    "/run/secrets/keys.txt",
    "entry 1 is not an SDK key (to read keys from a file, write @ and its path)",
  ),
  ofKeys("@", "there is no path after @ (expected @ and the path of a file)"),
  ofKeys("@FOLDER/missing.txt", 'cannot read "FOLDER/missing.txt": no such file or directory'),
  ofKeys("@FOLDER", 'cannot read "FOLDER": is a directory'),
  ofKeys("@FOLDER/empty.txt", "the list has no SDK key"),
  ofKeys(
    "@FOLDER/utf16.txt",
    "the list is not text in UTF-8, but perhaps in UTF-16, as some shells write it",
  ),
];

const ofNumber = (option: string, value: string, range: string, meant?: string): WrongInput => ({
  name: `--${option} ${value}`,
  args: [...START, `--${option}`, value],
  error: `invalid value "${value}" for --${option} (expected a whole number from ${range}${meant === undefined ? "" : `; did you mean ${meant}?`})`,
});

const interval = (value: string, meant?: string) =>
  ofNumber("polling-interval-in-s", value, "1 to 86400", meant);

const NUMBERS: readonly WrongInput[] = [
  interval("10s", "10"),
  interval("5m", "300"),
  interval("2h", "7200"),
  interval("1e3", "1000"),
  interval("1,000", "1000"),
  interval("10.5"),
  interval("-1"),
  interval("ten"),
  ofNumber("shutdown-grace-in-s", "5000ms", "0 to 3600", "5"),
  ofNumber("log-event-flush-interval-in-ms", "1s", "0 to 60000", "1000"),
  ofNumber("max-payload-in-mb", "1GB", "1 to 1024", "1024"),
  ofNumber("http-port", "=9000", "0 to 65535", "9000"),
  {
    name: "a number of a file of variables with line ends of Windows",
    args: START,
    env: { SFP_HTTP_PORT: "9000\r" },
    error:
      'invalid value "9000 " for SFP_HTTP_PORT (expected a whole number from 0 to 65535; did you mean 9000?)',
  },
  {
    name: "a number with a unit in a file",
    args: [...START, "--config", "FOLDER/unit.yaml"],
    error:
      'invalid value "10s" for polling-interval-in-s in FOLDER/unit.yaml (expected a whole number from 1 to 86400; did you mean 10?)',
  },
];

const ofFile = (file: string, error: string): WrongInput => ({
  name: `--config ${file}`,
  args: [...START, "--config", `FOLDER/${file}`],
  error,
});

const CONFIG_FILES: readonly WrongInput[] = [
  ofFile("tab.yaml", '--config "FOLDER/tab.yaml": line 2: Tabs are not allowed as indentation'),
  ofFile("duplicate.yaml", '--config "FOLDER/duplicate.yaml": line 2: duplicate name http-port'),
  ofFile("list.yaml", "invalid list for http-port in FOLDER/list.yaml (expected a whole number)"),
  ofFile(
    "near.yaml",
    'unknown name "polling-intervall-in-s" in FOLDER/near.yaml (did you mean polling-interval-in-s?)',
  ),
  ofFile("variable.yaml", 'unknown name "SFP_HTTP_PORT" in FOLDER/variable.yaml (did you mean http-port?)'),
  ofFile("quoted.json", '--config "FOLDER/quoted.json": unknown file type (expected .yaml, .yml or .toml)'),
  {
    name: "--config is a folder",
    args: [...START, "--config", "FOLDER"],
    error: '--config "FOLDER": is a directory',
  },
];

const ofAddress = (value: string, meant: string, option = "bind-address"): WrongInput => ({
  name: `--${option} ${value}`,
  args: [...START, `--${option}`, value],
  error: `invalid value "${value}" for --${option} (expected an IP address or a host name, without a port; did you mean ${meant}?)`,
});

const ADDRESSES: readonly WrongInput[] = [
  ofAddress("127.0.0.1:8000", "127.0.0.1"),
  ofAddress("[::1]", "::1"),
  ofAddress("[::1]:8000", "::1", "management-address"),
  ofAddress(":8000", "::"),
  ofAddress("*", "::"),
  ofAddress("http://0.0.0.0:80", "0.0.0.0"),
];

const MODES = "expected grpc-and-http, grpc or http";

const ofWords = (args: readonly string[], error: string, name = args.join(" ")): WrongInput => ({
  name,
  args,
  error,
});

const COMMAND_LINES: readonly WrongInput[] = [
  ofWords(["demos"], `invalid value "demos" for <MODE> (${MODES}, or a command; did you mean demo?)`),
  ofWords(
    ["docter", "http"],
    `invalid value "docter" for <MODE> (${MODES}, or a command; did you mean doctor?)`,
  ),
  ofWords(["local", "http"], '"local" is a <CACHE>, which follows <MODE> (did you mean http local?)'),
  ofWords(["redis"], '"redis" is a <CACHE>, which follows <MODE> (did you mean grpc-and-http redis?)'),
  ofWords(["“http”", "local"], `invalid value "“http”" for <MODE> (${MODES}; did you mean http?)`),
  ofWords(
    ["http", "disabled", "--log-level", "warning"],
    'invalid value "warning" for --log-level (expected debug, info, warn or error; did you mean warn?)',
  ),
  ofWords(
    ["http", "disabled", "--fleet-polling=yes"],
    'invalid value "yes" for --fleet-polling (expected true or false; did you mean true?)',
  ),
  ofWords(
    ["-polling-interval-in-s", "5", ...START],
    "unknown option -polling-interval-in-s (did you mean --polling-interval-in-s?)",
  ),
  ofWords(
    ["–http-port", "5", ...START],
    'unknown option –http-port: it begins with "–", which is not a hyphen (did you mean --http-port?)',
  ),
  ofWords(
    [...START, "—http-port=5"],
    'unknown option —http-port=5: it begins with "—", which is not a hyphen (did you mean --http-port?)',
  ),
  ofWords(
    ["–p", "5", ...START],
    'unknown option –p: it begins with "–", which is not a hyphen (did you mean -p?)',
  ),
  ofWords([...START, "—"], 'unexpected argument "—", which is not made of hyphens (did you mean --?)'),
  ofWords(
    [...START, "--", "--http-port", "5"],
    'unexpected argument "--http-port" (after -- there are no options)',
  ),
  ofWords(
    [...START, "--http-port", "=", "9000"],
    'unexpected argument "9000" (write --http-port=9000, without blanks around =)',
  ),
  ofWords(
    [...START, "--http-port=", "9000"],
    'unexpected argument "9000" (write --http-port=9000, without blanks around =)',
  ),
  ofWords(
    ["help", "docter"],
    `help: no topic "docter" (expected ${formatAlternatives(HELP.positionals[0]?.words ?? [])}; did you mean doctor?)`,
  ),
  ofWords(["dump", "specs"], 'unexpected argument "specs" (did you mean --out specs?)'),
  ofWords(["dump", "http", "lcoal"], 'invalid value "lcoal" for <CACHE> (expected disabled, local or redis)'),
];

export const WRONG_INPUTS: readonly WrongInput[] = [
  ...URLS,
  ...REDIS,
  ...PORTS,
  ...KEYS,
  ...NUMBERS,
  ...CONFIG_FILES,
  ...ADDRESSES,
  ...COMMAND_LINES,
];
