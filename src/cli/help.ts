import { type ArgsDef, defineCommand, renderUsage } from "citty";
import { POSITIONALS } from "../config/option.ts";
import { ALL_OPTIONS, NAME } from "../config/options.ts";
import { VERSION } from "../version.ts";
import { SUBCOMMANDS, type Subcommand } from "./subcommands.ts";

const SECTIONS = `COMMANDS

${SUBCOMMANDS.map(describedSubcommand).join("\n")}

ENVIRONMENT

  Each option, MODE and CACHE can also be set as a variable, SFP_ and the upper-case name, such as
  SFP_POLLING_INTERVAL_IN_S=10, or in the file of --config. Options override variables, and variables override the file.
  STATSIG_ENDPOINT               URL of upstream (Default: https://api.statsigcdn.com)
  LOG_EVENT_STATSIG_ENDPOINT     URL that log events are forwarded to (Default: https://statsigapi.net)
  REDIS_URL, REDIS_ENTERPRISE_*, REDIS_SENTINELS, REDIS_CLUSTER_NODES, REDIS_TLS*
                                 Address of Redis (Default: 127.0.0.1:6379)
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY, NODE_EXTRA_CA_CERTS
                                 Proxy for upstream, and additional CA certificates to trust

EXAMPLES

  statsig-forward-proxy grpc-and-http local
  REDIS_URL=redis://redis:6379 statsig-forward-proxy http redis --fleet-polling --preload-sdk-keys @keys.txt
`;

/** Returns the text of `--help`, from the option table. */
export async function formatHelp(): Promise<string> {
  const command = defineCommand({
    meta: { name: NAME, version: VERSION, description: "Relays Statsig config specs to your servers." },
    args: {
      ...describedPositionals(),
      ...describedOptions(),
    },
  });
  return `${await renderUsage(command)}\n${SECTIONS}`;
}

function describedPositionals(): ArgsDef {
  const args: ArgsDef = {};
  for (const { name, description, words } of POSITIONALS) {
    args[name] = { type: "positional", description: `${description}: ${words.join(", ")}` };
  }
  return args;
}

function describedOptions(): ArgsDef {
  const args: ArgsDef = {};
  for (const {
    name,
    short,
    aliases = [],
    kind,
    placeholder,
    description,
    default: byDefault,
  } of ALL_OPTIONS) {
    const others = aliases.map((alias) => ` (also --${alias})`).join("");
    const described = {
      description: `${description}${others}`,
      ...(short && { alias: short }),
      ...(placeholder && { valueHint: placeholder }),
    };
    args[name] =
      kind === "flag"
        ? { type: "boolean", ...described }
        : { type: "string", ...described, ...(byDefault && { default: byDefault }) };
  }
  return args;
}

/** Describes a subcommand and the options that only it has. */
function describedSubcommand({ name, positionals, summary, options }: Subcommand): string {
  const args = positionals.map(
    (each) => `[${each.isRequired ? each.words.join("|") : each.name.toUpperCase()}]`,
  );
  const lines = [[[name, ...args].join(" "), summary] as const];
  for (const { name: option, kind, placeholder, description } of options) {
    lines.push([`  --${option}${kind === "flag" ? "" : `=<${placeholder ?? "VALUE"}>`}`, description]);
  }
  return lines.map(([left, right]) => `  ${left.padEnd(27)}  ${right}`).join("\n");
}
