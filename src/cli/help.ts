import { ACCESS } from "../config/groups/access.ts";
import { CACHE } from "../config/groups/cache.ts";
import { LISTENERS } from "../config/groups/listeners.ts";
import { LOGGING } from "../config/groups/logging.ts";
import { SPECS } from "../config/groups/specs.ts";
import { type OptionSpec, POSITIONALS } from "../config/option.ts";
import { CONFIG_FILE, NAME, OPTION_GROUPS, PRINT_CONFIG, PRINT_OPTIONS } from "../config/options.ts";
import { formatRows, type Row, wrap } from "./columns.ts";
import { SUBCOMMANDS, type Subcommand } from "./subcommands.ts";

const SUMMARY = "Relays Statsig config specs to your servers.";

/** The options of the short help. */
const COMMON: readonly OptionSpec[] = [
  CONFIG_FILE,
  SPECS.pollingIntervalInS,
  SPECS.preloadSdkKeys,
  ACCESS.allowedSdkKeys,
  CACHE.localCachePath,
  CACHE.fleetPolling,
  LISTENERS.bindAddress,
  LISTENERS.httpPort,
  LISTENERS.grpcPort,
  LISTENERS.managementPort,
  LOGGING.logLevel,
  LOGGING.logFormat,
  PRINT_CONFIG,
];

const EXAMPLES = ["demo", "grpc-and-http local", "grpc-and-http redis --fleet-polling"];

/** Returns the text of `help`: how to start, and the most common options. */
export function formatShortHelp(width: number): string {
  return joinSections([
    SUMMARY,
    formatUsage(),
    section("Arguments", POSITIONALS.map(describePositional), width),
    section("Commands", SUBCOMMANDS.map(describeSubcommand), width),
    section("Common options", COMMON.map(describeOption), width),
    formatVariables(width),
    `Examples:\n${EXAMPLES.map((each) => `  ${NAME} ${each}`).join("\n")}`,
    `Every option: ${NAME} --help\nOne command:  ${NAME} help COMMAND`,
  ]);
}

/** Returns the text of `--help`: every option by subject. */
export function formatFullHelp(width: number): string {
  return joinSections([
    SUMMARY,
    formatUsage(),
    section("Arguments", POSITIONALS.map(describePositional), width),
    section("Commands", SUBCOMMANDS.map(describeSubcommand), width),
    ...OPTION_GROUPS.map(({ heading, options }) =>
      section(heading, Object.values(options).map(describeOption), width),
    ),
    section("Printing", [PRINT_CONFIG, ...PRINT_OPTIONS].map(describeOption), width),
    formatVariables(width),
    `Examples:\n${EXAMPLES.map((each) => `  ${NAME} ${each}`).join("\n")}`,
  ]);
}

/** Returns the text of `--help` after the name of a subcommand. */
export function formatSubcommandHelp(subcommand: Subcommand, width: number): string {
  const { summary, positionals, takesRelayOptions, options } = subcommand;
  const every = `It also takes the options of a relay, which ${NAME} --help lists.`;
  return joinSections([
    wrap(`${summary}.`, width).join("\n"),
    `Usage: ${NAME} ${usageOf(subcommand)}`,
    ...(positionals.length > 0 ? [section("Arguments", positionals.map(describeWords), width)] : []),
    section("Options", [...options, ...PRINT_OPTIONS.map(ofSubcommand)].map(describeOption), width),
    ...(takesRelayOptions ? [wrap(every, width).join("\n")] : []),
  ]);
}

/** The help of a subcommand is one, whether it was asked for by `-h` or `--help`. */
const ofSubcommand = (option: OptionSpec): OptionSpec =>
  option.name === "help" ? { ...option, description: "Print this help" } : option;

/** Returns what a start without arguments prints. */
export function formatFirstSteps(): string {
  const steps: readonly Row[] = [
    ["demo", "try it with a bundled sample project; no account is needed"],
    ["grpc-and-http local", "relay Statsig to your SDKs, with a backup on disk"],
    ["doctor grpc-and-http local", "check everything that this needs"],
    ["help", "the commands and the most common options"],
  ];
  return joinSections([
    SUMMARY,
    section(
      "How to begin",
      steps.map(([command, text]) => [`${NAME} ${command}`, text]),
      FIRST_STEPS_WIDTH,
    ),
  ]);
}

/** Each command is on the line of its explanation, whatever the width of the terminal is. */
const FIRST_STEPS_WIDTH = 140;

const joinSections = (sections: readonly string[]): string => sections.join("\n\n");

const section = (heading: string, rows: readonly Row[], width: number): string =>
  `${heading}:\n${formatRows(rows, width)}`;

const formatUsage = (): string => `Usage: ${NAME} [OPTIONS] <MODE> <CACHE>\n       ${NAME} <COMMAND>`;

const describePositional = ({ name, description, words }: (typeof POSITIONALS)[number]): Row => [
  name.toUpperCase(),
  `${description}: ${words.join(", ")}`,
];

const describeWords = ({ name, words }: Subcommand["positionals"][number]): Row => [
  name.toUpperCase(),
  words.join(", "),
];

const describeSubcommand = (subcommand: Subcommand): Row => [usageOf(subcommand), subcommand.summary];

function usageOf({ name, positionals, takesRelayOptions }: Subcommand): string {
  const words = positionals.map(
    (each) => `[${each.isRequired ? each.words.join("|") : each.name.toUpperCase()}]`,
  );
  return [name, ...(takesRelayOptions ? ["[OPTIONS]"] : []), ...words].join(" ");
}

function describeOption({
  name,
  short,
  aliases = [],
  kind,
  placeholder = "VALUE",
  description,
  default: byDefault,
}: OptionSpec): Row {
  const value = kind === "flag" ? "" : ` <${placeholder}>`;
  const others = aliases.map((alias) => ` (also --${alias})`).join("");
  return [
    `${short === undefined ? "    " : `-${short}, `}--${name}${value}`,
    `${description}${others}${byDefault === undefined ? "" : ` (Default: ${byDefault})`}`,
  ];
}

function formatVariables(width: number): string {
  const about = `Each option, MODE and CACHE can also be set as a variable, SFP_ and the upper-case name, such as SFP_POLLING_INTERVAL_IN_S=10, or in the file of --config. Options override variables, and variables override the file.`;
  const rows: readonly Row[] = [
    ["STATSIG_ENDPOINT", "URL of upstream (Default: https://api.statsigcdn.com)"],
    ["LOG_EVENT_STATSIG_ENDPOINT", "URL that log events are forwarded to (Default: https://statsigapi.net)"],
    [
      "REDIS_URL",
      "Address of Redis: redis://host:port (Default: 127.0.0.1:6379). Also REDIS_ENTERPRISE_*, REDIS_SENTINELS, REDIS_CLUSTER_NODES, REDIS_TLS*",
    ],
    ["HTTPS_PROXY, NO_PROXY", "Proxy for upstream, and hosts without it"],
    ["NODE_EXTRA_CA_CERTS", "PEM file with additional CA certificates to trust"],
  ];
  const intro = wrap(about, width - 2).map((line) => `  ${line}`);
  return `Environment:\n${intro.join("\n")}\n${formatRows(rows, width)}`;
}
