import { nearestName } from "./nearest-name.ts";
import type { OptionSpec } from "./options.ts";

/** The command line can't be understood; the message is one line for people. */
export class UsageError extends Error {}

export interface StrictArgs {
  /** By long name; the text as given. Of a flag `true` or `false`; `true` where it has no value. */
  readonly values: ReadonlyMap<string, string>;
  readonly positionals: readonly string[];
}

/**
 * Takes a command line apart and refuses what is not in the table: citty alone would let it pass silently.
 * A flag takes a value only behind `=`; any other option takes the next word, or what is behind `=`.
 */
export function readStrictArgs(argv: readonly string[], options: readonly OptionSpec[]): StrictArgs {
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
