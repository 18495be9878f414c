import { environmentName, OPTIONS, type OptionName, type OptionSpec } from "./options.ts";

/** A setting that can't be used; the message is one line that names it, what was given and what is allowed. */
export class ConfigError extends Error {}

/** What the settings name can't be used as it is; the message is one line for people. */
export class StartError extends Error {}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Finds each option's text and who gave it, and reads it by its row of the table. */
export class Settings {
  readonly #values: ReadonlyMap<string, string>;
  readonly #env: Environment;

  constructor(values: ReadonlyMap<string, string>, env: Environment) {
    this.#values = values;
    this.#env = env;
  }

  text(name: OptionName): string {
    const { text, shown, given } = this.#find(name);
    if (given && text === "") throw new ConfigError(`${shown} is "", allowed is a text`);
    return text;
  }

  integer(name: OptionName): number {
    const { option, text, shown } = this.#find(name);
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = option;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new ConfigError(`${shown} is "${text}", allowed is a whole number from ${min} to ${max}`);
  }

  flag(name: OptionName): boolean {
    const { text, shown } = this.#find(name);
    if (text === "true" || text === "1") return true;
    if (text === "false" || text === "0" || text === "") return false;
    throw new ConfigError(`${shown} is "${text}", allowed is true or false`);
  }

  /** One of a few words. */
  word<T extends string>(name: OptionName, allowed: readonly T[]): T {
    const { text, shown } = this.#find(name);
    const word = allowed.find((each) => each === text);
    if (word !== undefined) return word;
    throw new ConfigError(`${shown} is "${text}", allowed is ${allowed.join(", ")}`);
  }

  /** A comma list of words, each at most once. */
  list<T extends string>(name: OptionName, allowed: readonly T[]): readonly T[] {
    const { text, shown } = this.#find(name);
    const words = text.split(",").map((word) => allowed.find((each) => each === word.trim()));
    const known = words.filter((word) => word !== undefined);
    if (known.length === words.length && new Set(known).size === known.length) return known;
    throw new ConfigError(
      `${shown} is "${text}", allowed is a comma list of ${allowed.join(", ")}, each once`,
    );
  }

  /** A comma list of any words. */
  texts(name: OptionName): readonly string[] {
    const words = this.text(name).split(",");
    return words.map((word) => word.trim()).filter((word) => word !== "");
  }

  /** Whether somebody gave it a value: else it has its default. */
  isGiven(name: OptionName): boolean {
    return this.#find(name).given;
  }

  /** The option as the user wrote it. */
  shown(name: OptionName): string {
    return this.#find(name).shown;
  }

  #find(name: OptionName): {
    readonly option: OptionSpec;
    readonly text: string;
    readonly shown: string;
    readonly given: boolean;
  } {
    const option: OptionSpec = OPTIONS.find((each) => each.name === name) ?? {
      name,
      kind: "text",
      description: "",
    };
    const given = this.#values.get(name);
    if (given !== undefined) return { option, text: given, shown: `--${name}`, given: true };
    const variable = environmentName(option);
    const set = this.#env[variable];
    if (set) return { option, text: set, shown: variable, given: true };
    return { option, text: option.default ?? "", shown: `--${name}`, given: false };
  }
}

export function oneOf<T extends string>(name: string, given: string | undefined, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === given);
  if (found !== undefined) return found;
  const problem = given === undefined ? "is missing" : `is "${given}"`;
  throw new ConfigError(`<${name}> ${problem}, allowed is ${allowed.join(", ")}`);
}

/** Secrets: they have no place on a command line, which every process of a machine can read. */
const SECRET_VARIABLES = ["SFP_X509_SERVER_KEY_PASSPHRASE"];

/** Names that begin as ours do and are none of them: likely misspelt. */
export function unknownVariables(env: Environment): readonly string[] {
  const known = new Set([...OPTIONS.map(environmentName), ...SECRET_VARIABLES]);
  return Object.keys(env).filter((name) => name.startsWith("SFP_") && !known.has(name));
}
