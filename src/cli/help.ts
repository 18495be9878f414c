import { type ArgsDef, defineCommand, renderUsage } from "citty";
import { POSITIONALS } from "../config/option.ts";
import { ALL_OPTIONS, NAME } from "../config/options.ts";
import { VERSION } from "../version.ts";
import { SUBCOMMANDS, type Subcommand } from "./subcommands.ts";

const MORE = `COMMANDS

${SUBCOMMANDS.map(describedSubcommand).join("\n")}

ENVIRONMENT

  Each option, MODE and CACHE can also be given as SFP_ and the upper-case name, such as SFP_POLLING_INTERVAL_IN_S=10,
  or in the file of --config. The option goes before the variable, the variable before the file.
  STATSIG_ENDPOINT               Upstream (Default: https://api.statsigcdn.com)
  LOG_EVENT_STATSIG_ENDPOINT     Where events go (Default: https://statsigapi.net)
  REDIS_URL, REDIS_ENTERPRISE_*, REDIS_SENTINELS, REDIS_CLUSTER_NODES, REDIS_TLS*
                                 Where Redis is (Default: 127.0.0.1:6379)
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY, NODE_EXTRA_CA_CERTS
                                 The way to upstream, and whom to trust there

EXAMPLES

  statsig-forward-proxy grpc-and-http local
  REDIS_URL=redis://redis:6379 statsig-forward-proxy http redis --fleet-polling --preload-sdk-keys @keys.txt
`;

/** What `--help` prints, from the option table. */
export async function helpText(): Promise<string> {
  const command = defineCommand({
    meta: { name: NAME, version: VERSION, description: "Relays Statsig's config specs to your servers." },
    args: {
      ...describedPositionals(),
      ...describedOptions(),
    },
  });
  return `${await renderUsage(command)}\n${MORE}`;
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
  for (const { name, short, kind, placeholder, description, default: byDefault } of ALL_OPTIONS) {
    const described = {
      description,
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

/** What a subcommand does, and the options that it alone has. */
function describedSubcommand({ name, positionals, summary, options }: Subcommand): string {
  const lines = [[[name, ...positionals.map((word) => `[${word}]`)].join(" "), summary] as const];
  for (const { name: option, kind, placeholder, description } of options) {
    lines.push([`  --${option}${kind === "flag" ? "" : `=<${placeholder ?? "VALUE"}>`}`, description]);
  }
  return lines.map(([left, right]) => `  ${left.padEnd(24)}  ${right}`).join("\n");
}
