import { type OptionSpec, POSITIONALS } from "../config/option.ts";

/** A positional argument. */
interface Positional {
  readonly name: string;
  readonly words: readonly string[];
  /** False for MODE and CACHE, which the environment or the file may set. */
  readonly isRequired?: boolean;
}

/** A command other than running the relay. */
export interface Subcommand {
  readonly name: string;
  readonly summary: string;
  readonly positionals: readonly Positional[];
  /** Whether it takes every option of a relay. */
  readonly takesRelayOptions: boolean;
  /** Options that only this subcommand has. */
  readonly options: readonly OptionSpec[];
}

/** The subcommands that `run-subcommand.ts` runs. */
const COMMANDS = [
  {
    name: "demo",
    summary: "Run a relay against a bundled sample upstream, with the SDK key secret-demo",
    positionals: [],
    takesRelayOptions: true,
    options: [],
  },
  {
    name: "offline",
    summary: "Run a relay that serves the config specs in --bootstrap-path, and sends no request to Statsig",
    positionals: POSITIONALS,
    takesRelayOptions: true,
    options: [],
  },
  {
    name: "dump",
    summary:
      "Write the config specs that the relay with the same options holds to files, for --bootstrap-path",
    positionals: POSITIONALS,
    takesRelayOptions: true,
    options: [
      {
        name: "out",
        kind: "text",
        placeholder: "FOLDER",
        description: "Folder of the files; it is created if it is missing (Default: .)",
      },
      {
        name: "from",
        kind: "text",
        placeholder: "URL",
        description: "Management port of a relay elsewhere, such as http://host:8001",
      },
    ],
  },
  {
    name: "healthcheck",
    summary: "Check whether the relay with the same options is ready; exits 0 if it is, else 1",
    positionals: POSITIONALS,
    takesRelayOptions: true,
    options: [
      {
        name: "timeout-in-s",
        kind: "integer",
        placeholder: "SECONDS",
        description: "Timeout in seconds (Default: 2)",
      },
    ],
  },
  {
    name: "doctor",
    summary: "Check everything that a relay with these options needs, and say how to fix each problem",
    positionals: POSITIONALS,
    takesRelayOptions: true,
    options: [{ name: "json", kind: "flag", description: "Print the report as JSON" }],
  },
  {
    name: "completions",
    summary:
      "Print a shell completion script, for example for: source <(statsig-forward-proxy completions bash)",
    positionals: [{ name: "shell", words: ["bash", "zsh", "fish"], isRequired: true }],
    takesRelayOptions: false,
    options: [],
  },
] as const satisfies readonly Subcommand[];

export type SubcommandName = (typeof COMMANDS)[number]["name"];

/** What `help` explains beside subcommands: every option of a relay. */
export const OPTIONS_TOPIC = "options";

/** These print what `-h`, `--help` and `--version` do. */
export const HELP: Subcommand = {
  name: "help",
  summary: "Print the most common options, or the help of one command, or every option",
  positionals: [{ name: "topic", words: [OPTIONS_TOPIC, ...COMMANDS.map(({ name }) => name)] }],
  takesRelayOptions: false,
  options: [],
};

export const VERSION_COMMAND: Subcommand = {
  name: "version",
  summary: "Print the version",
  positionals: [],
  takesRelayOptions: false,
  options: [],
};

/** Every subcommand, in the order of `--help`. */
export const SUBCOMMANDS: readonly Subcommand[] = [...COMMANDS, HELP, VERSION_COMMAND];

/** Returns undefined if the word is not a subcommand that `run-subcommand.ts` runs. */
export function findSubcommand(word: string | undefined): (typeof COMMANDS)[number] | undefined {
  return COMMANDS.find(({ name }) => name === word);
}
