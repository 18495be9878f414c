import type { OptionSpec } from "../config/option.ts";

/** A first word of the command line that asks for something else than a relay; `run-subcommand.ts` does it. */
export interface Subcommand {
  readonly name: string;
  readonly summary: string;
  /** The words behind it, in their order. `MODE` and `CACHE` are read as a relay's are; of `a|b` one must be there. */
  readonly positionals: readonly string[];
  /** It takes every option of a relay. */
  readonly takesRelayOptions: boolean;
  /** Those that it has beside them. */
  readonly options: readonly OptionSpec[];
}

/** Every subcommand, in the order of `--help`. */
export const SUBCOMMANDS = [
  {
    name: "demo",
    summary: "Run the relay against a bundled sample upstream, with the key secret-demo",
    positionals: [],
    takesRelayOptions: true,
    options: [],
  },
  {
    name: "healthcheck",
    summary: "Ask the relay that runs with the same options whether it is ready: exit code 0 or 1",
    positionals: ["MODE", "CACHE"],
    takesRelayOptions: true,
    options: [
      {
        name: "timeout-in-s",
        kind: "integer",
        placeholder: "SECONDS",
        description: "How long it may take to answer (Default: 2)",
      },
    ],
  },
  {
    name: "doctor",
    summary: "Look at everything that a relay with these options needs, and say how to mend what is wrong",
    positionals: ["MODE", "CACHE"],
    takesRelayOptions: true,
    options: [{ name: "json", kind: "flag", description: "The report for programs" }],
  },
  {
    name: "completions",
    summary:
      "Print what makes a shell complete command lines: source <(statsig-forward-proxy completions bash)",
    positionals: ["bash|zsh|fish"],
    takesRelayOptions: false,
    options: [],
  },
] as const satisfies readonly Subcommand[];

export type SubcommandName = (typeof SUBCOMMANDS)[number]["name"];

/** The row of a subcommand; undefined where a word is none. */
export function findSubcommand(word: string | undefined): (typeof SUBCOMMANDS)[number] | undefined {
  return SUBCOMMANDS.find(({ name }) => name === word);
}
