import { type ArgsDef, defineCommand, runCommand } from "citty";
import { helpText } from "./help.ts";
import { ALL_OPTIONS, NAME, OPTIONS, type OptionSpec, PRINT_CONFIG, PRINT_OPTIONS } from "./options.ts";
import type { GivenSubcommand } from "./run-subcommand.ts";
import type { GivenConfig } from "./setting-sources.ts";
import { readStrictArgs, type StrictArgs, UsageError } from "./strict-args.ts";
import { findSubcommand, SUBCOMMANDS, type Subcommand } from "./subcommands.ts";
import { VERSION_LINE } from "./version.ts";

/** What a command line asks for. */
export type Invocation =
  | { readonly kind: "print"; readonly text: string }
  | { readonly kind: "relay" | "print-config"; readonly given: GivenConfig }
  | ({ readonly kind: "subcommand" } & GivenSubcommand);

/** What a command line without a subcommand takes. */
const RELAY: Pick<Subcommand, "positionals" | "takesRelayOptions" | "options"> = {
  positionals: ["MODE", "CACHE"],
  takesRelayOptions: true,
  options: [PRINT_CONFIG],
};

const OWN_OPTIONS: readonly OptionSpec[] = SUBCOMMANDS.flatMap(
  ({ options }): readonly OptionSpec[] => options,
);

/** Asked for before anything else; with `=false` they ask for nothing. */
const PRINTS = new Set(PRINT_OPTIONS.map(({ name }) => name));

/** Understands a command line. Throws {@link UsageError}. */
export async function readInvocation(argv: readonly string[]): Promise<Invocation> {
  const { values, positionals } = readStrictArgs(argv, [...ALL_OPTIONS, ...OWN_OPTIONS]);
  if (values.get("help") === "true") return { kind: "print", text: await helpText() };
  if (values.get("version") === "true") return { kind: "print", text: `${NAME} ${VERSION_LINE}` };
  const args = { values: new Map([...values].filter(([name]) => !PRINTS.has(name))), positionals };
  const subcommand = findSubcommand(args.positionals[0]);
  if (subcommand === undefined) {
    const given = await read(args, RELAY, "a relay");
    return { kind: given.values.get(PRINT_CONFIG.name) === "true" ? "print-config" : "relay", given };
  }
  const words = args.positionals.slice(1);
  const given = await read({ ...args, positionals: words }, subcommand, subcommand.name);
  return { kind: "subcommand", name: subcommand.name, words, given };
}

/** Texts only: what they mean, and the defaults, is for the configuration to say. */
async function read(
  { values, positionals }: StrictArgs,
  { positionals: expected, takesRelayOptions, options }: typeof RELAY,
  shown: string,
): Promise<GivenConfig> {
  const extra = positionals[expected.length];
  if (extra !== undefined) {
    const allowed = expected.length === 0 ? "options only" : expected.join(" ");
    throw new UsageError(`unexpected argument "${extra}": ${shown} takes ${allowed}`);
  }
  expected.forEach((choice, at) => {
    const words = choice.split("|");
    const given = positionals[at];
    if (words.length === 1 || words.includes(given ?? "")) return;
    const problem = given === undefined ? "is missing" : `is "${given}"`;
    throw new UsageError(`the word behind ${shown} ${problem}, allowed is ${words.join(", ")}`);
  });
  const taken: readonly OptionSpec[] = [...(takesRelayOptions ? OPTIONS : []), ...options];
  const args: ArgsDef = {};
  for (const word of expected) args[word.toLowerCase()] = { type: "positional", required: false };
  for (const { name } of taken) args[name] = { type: "string" };
  for (const name of values.keys()) {
    if (!(name in args)) throw new UsageError(`--${name} is no option of ${shown}`);
  }
  const rawArgs = [...[...values].map(([name, value]) => `--${name}=${value}`), ...positionals];
  const parsed = Promise.withResolvers<Readonly<Record<string, unknown>>>();
  const command = defineCommand({ args, run: (context) => parsed.resolve(context.args) });
  await runCommand(command, { rawArgs });
  return givenConfig(await parsed.promise, taken);
}

function givenConfig(args: Readonly<Record<string, unknown>>, options: readonly OptionSpec[]): GivenConfig {
  const values = new Map<string, string>();
  for (const { name } of options) {
    const value = text(args[name]);
    if (value !== undefined) values.set(name, value);
  }
  return { mode: text(args["mode"]), cache: text(args["cache"]), values };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
