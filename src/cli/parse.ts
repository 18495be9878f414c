import { type ArgsDef, defineCommand, runCommand } from "citty";
import { nearestName, type OptionSpec } from "../config/option.ts";
import { ALL_OPTIONS, NAME, OPTIONS, PRINT_CONFIG, PRINT_OPTIONS } from "../config/options.ts";
import type { GivenConfig } from "../config/settings.ts";
import { EXIT_USAGE, UserError } from "../platform/errors.ts";
import { VERSION_LINE } from "../version.ts";
import { helpText } from "./help.ts";
import type { GivenSubcommand } from "./run-subcommand.ts";
import { findSubcommand, SUBCOMMANDS, type Subcommand } from "./subcommands.ts";

/** What a command line asks for. */
type Invocation =
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
export async function parseInvocation(argv: readonly string[]): Promise<Invocation> {
  const { values, positionals } = parseStrictArgs(argv, [...ALL_OPTIONS, ...OWN_OPTIONS]);
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

/** The command line can't be understood; the message is one line for people. */
export class UsageError extends UserError {
  constructor(message: string) {
    super(message, EXIT_USAGE);
  }
}

export interface StrictArgs {
  /** By long name; the text as given. Of a flag `true` or `false`; `true` where it has no value. */
  readonly values: ReadonlyMap<string, string>;
  readonly positionals: readonly string[];
}

/**
 * Takes a command line apart and refuses what is not in the table: citty alone would let it pass silently.
 * A flag takes a value only behind `=`; any other option takes the next word, or what is behind `=`.
 */
export function parseStrictArgs(argv: readonly string[], options: readonly OptionSpec[]): StrictArgs {
  const values = new Map<string, string>();
  const positionals: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") {
      positionals.push(...rest.splice(0));
    } else if (word.startsWith("-") && word !== "-") {
      const { option, shown, attached } = findOption(word, options);
      if (values.has(option.name)) throw new UsageError(`${shown} is given more than once`);
      const value = option.kind === "flag" ? flagValue(shown, attached) : attached;
      values.set(option.name, value ?? nextValue(option, shown, rest));
    } else {
      positionals.push(word);
    }
  }
  return { values, positionals };
}

interface FoundOption {
  readonly option: OptionSpec;
  /** As the user wrote it. */
  readonly shown: string;
  /** The value behind `=`, or right behind a short name. */
  readonly attached: string | undefined;
}

function findOption(word: string, options: readonly OptionSpec[]): FoundOption {
  const equals = word.indexOf("=");
  if (word.startsWith("--")) {
    const shown = equals < 0 ? word : word.slice(0, equals);
    const option = options.find(({ name }) => `--${name}` === shown);
    if (option === undefined) throw unknownOption(shown, options);
    return { option, shown, attached: equals < 0 ? undefined : word.slice(equals + 1) };
  }
  const shown = word.slice(0, 2);
  const option = options.find(({ short }) => `-${short}` === shown);
  if (option === undefined || (option.kind === "flag" && word.length > 2 && equals !== 2)) {
    throw unknownOption(word, options);
  }
  return { option, shown, attached: word.length > 2 ? word.slice(word[2] === "=" ? 3 : 2) : undefined };
}

/** The words that a variable or a file may have for a flag, too. */
function flagValue(shown: string, attached = "true"): "true" | "false" {
  if (attached === "true" || attached === "1") return "true";
  if (attached === "false" || attached === "0") return "false";
  throw new UsageError(`${shown} is "${attached}", allowed is true or false`);
}

function nextValue(option: OptionSpec, shown: string, rest: string[]): string {
  const next = rest[0];
  if (next === undefined || /^--?[A-Za-z]/.test(next)) {
    throw new UsageError(`${shown} needs a value: ${shown} <${option.placeholder ?? "VALUE"}>`);
  }
  rest.shift();
  return next;
}

function unknownOption(shown: string, options: readonly OptionSpec[]): UsageError {
  const near = nearestName(
    shown,
    options.map(({ name }) => name),
  );
  const hint = near === undefined ? "see --help" : `did you mean --${near}?`;
  return new UsageError(`unknown option ${shown}: ${hint}`);
}
