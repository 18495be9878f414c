import { findWord, meantWord } from "../config/hints.ts";
import {
  CACHE_KIND,
  CACHES,
  MODE,
  MODES,
  nearestName,
  type OptionSpec,
  POSITIONALS,
} from "../config/option.ts";
import { ALL_OPTIONS, NAME, OPTIONS, PRINT_CONFIG, PRINT_OPTIONS } from "../config/options.ts";
import { formatAlternatives, type GivenConfig } from "../config/settings.ts";
import { VERSION_LINE } from "../version.ts";
import { parseStrictArgs, type StrictArgs, UsageError } from "./arguments.ts";
import { formatFullHelp, formatShortHelp, formatSubcommandHelp } from "./help.ts";
import type { GivenSubcommand } from "./run-subcommand.ts";
import {
  findSubcommand,
  HELP,
  OPTIONS_TOPIC,
  SUBCOMMANDS,
  type Subcommand,
  VERSION_COMMAND,
} from "./subcommands.ts";

/** What a command line asks for. */
type Invocation =
  | { readonly kind: "print"; readonly text: string }
  | { readonly kind: "relay" | "print-config"; readonly given: GivenConfig }
  | ({ readonly kind: "subcommand" } & GivenSubcommand);

/** A command line without a subcommand. */
const RELAY: Pick<Subcommand, "positionals" | "takesRelayOptions" | "options"> = {
  positionals: POSITIONALS,
  takesRelayOptions: true,
  options: [PRINT_CONFIG],
};

const SUBCOMMAND_OPTIONS: readonly OptionSpec[] = SUBCOMMANDS.flatMap(
  ({ options }): readonly OptionSpec[] => options,
);

const PRINT_NAMES = new Set(PRINT_OPTIONS.map(({ name }) => name));

/**
 * Parses a command line. `--help` and `--version` override everything else; with `=false` they are ignored. Help is wrapped at
 * `width` characters. Throws {@link UsageError}.
 */
export function parseInvocation(argv: readonly string[], width: number): Invocation {
  const { values, positionals } = parseStrictArgs(argv, [...ALL_OPTIONS, ...SUBCOMMAND_OPTIONS]);
  const [first, ...words] = positionals;
  const subcommand = findSubcommand(first);
  if (values.get("help") === "true") {
    const isFull = argv.some((word) => word.startsWith("--help"));
    if (subcommand !== undefined) return print(formatSubcommandHelp(subcommand, width));
    return print(isFull ? formatFullHelp(width) : formatShortHelp(width));
  }
  if (values.get("version") === "true") return print(`${NAME} ${VERSION_LINE}`);
  const args = { values: new Map([...values].filter(([name]) => !PRINT_NAMES.has(name))), positionals };
  if (first === HELP.name) {
    toGivenConfig({ ...args, positionals: words }, HELP, first);
    return print(formatTopic(words[0], width));
  }
  if (first === VERSION_COMMAND.name) {
    toGivenConfig({ ...args, positionals: words }, VERSION_COMMAND, first);
    return print(`${NAME} ${VERSION_LINE}`);
  }
  if (subcommand === undefined) {
    const given = toGivenConfig(args, RELAY, "a relay");
    checkModeAndCache(given);
    return { kind: given.values.get(PRINT_CONFIG.name) === "true" ? "print-config" : "relay", given };
  }
  const given = toGivenConfig({ ...args, positionals: words }, subcommand, subcommand.name);
  if (subcommand.name === "dump") checkDumpWords(given);
  return { kind: "subcommand", name: subcommand.name, words, given };
}

const print = (text: string): Invocation => ({ kind: "print", text });

function formatTopic(topic: string | undefined, width: number): string {
  if (topic === undefined) return formatShortHelp(width);
  if (topic === OPTIONS_TOPIC) return formatFullHelp(width);
  const subcommand = findSubcommand(topic);
  if (subcommand !== undefined) return formatSubcommandHelp(subcommand, width);
  const topics = HELP.positionals[0]?.words ?? [];
  const near = nearestName(topic, topics);
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  throw new UsageError(`help: no topic "${topic}" (expected ${formatAlternatives(topics)}${hint})`);
}

/** Finds what only the command line can be mistaken for: the words in the wrong order, and a mistyped subcommand. */
function checkModeAndCache({ mode, cache }: GivenConfig): void {
  if (mode === undefined || findWord(MODES, mode) !== undefined) return;
  const swapped = findWord(CACHES, mode);
  if (swapped !== undefined) {
    const wanted = cache === undefined ? undefined : findWord(MODES, cache);
    throw new UsageError(
      `"${mode}" is a <CACHE>, which follows <MODE> (did you mean ${wanted ?? MODES[0]} ${swapped}?)`,
    );
  }
  if (meantWord(MODES, mode) !== undefined) return;
  const near = nearestName(
    mode,
    SUBCOMMANDS.map(({ name }) => name),
  );
  if (near === undefined) return;
  const expected = `${formatAlternatives(MODES)}, or a command; did you mean ${near}?`;
  throw new UsageError(`invalid value "${mode}" for <MODE> (expected ${expected})`);
}

/** `dump` reads neither MODE nor CACHE, so a folder in their place would go unnoticed, and the files to the current folder. */
function checkDumpWords({ mode, cache }: GivenConfig): void {
  if (mode !== undefined && findWord(MODES, mode) === undefined) {
    throw new UsageError(`unexpected argument "${mode}" (did you mean --out ${mode}?)`);
  }
  if (cache !== undefined && findWord(CACHES, cache) === undefined) {
    throw new UsageError(`invalid value "${cache}" for <CACHE> (expected ${formatAlternatives(CACHES)})`);
  }
}

/** Checks that a command takes these arguments. The values themselves are validated with the rest of the configuration. */
function toGivenConfig(
  { values, positionals }: StrictArgs,
  { positionals: expected, takesRelayOptions, options }: typeof RELAY,
  command: string,
): GivenConfig {
  const extra = positionals[expected.length];
  if (extra !== undefined) {
    const names = expected.map(({ name }) => name.toUpperCase());
    const allowed = names.length === 0 ? "only options" : names.join(" ");
    throw new UsageError(
      `unexpected argument "${extra}" (${explainExtra(extra, values) ?? `${command} takes ${allowed}`})`,
    );
  }
  for (const [at, { name, words, isRequired }] of expected.entries()) {
    const word = positionals[at];
    if (!isRequired || words.includes(word ?? "")) continue;
    const problem = word === undefined ? `missing ${name}` : `invalid ${name} "${word}"`;
    throw new UsageError(`${command}: ${problem} (expected ${formatAlternatives(words)})`);
  }
  const taken: readonly OptionSpec[] = [...(takesRelayOptions ? OPTIONS : []), ...options];
  for (const name of values.keys()) {
    if (!taken.some((option) => option.name === name)) {
      throw new UsageError(`--${name} is not an option of ${command}`);
    }
  }
  const find = (wanted: OptionSpec) => positionals[expected.findIndex(({ name }) => name === wanted.name)];
  return { mode: find(MODE), cache: find(CACHE_KIND), values };
}

/** Returns why there is one word more than the command takes, if its form shows that. */
function explainExtra(extra: string, values: StrictArgs["values"]): string | undefined {
  if (extra.startsWith("-")) return "after -- there are no options";
  const empty = [...values].find(([, value]) => value === "" || value === "=");
  return empty && `write --${empty[0]}=${extra}, without blanks around =`;
}
