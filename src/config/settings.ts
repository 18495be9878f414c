import { EXIT_FAILED, EXIT_USAGE, UserError } from "../platform/errors.ts";
import { findProxy } from "../platform/process/proxies.ts";
import { findWord, meantNumber, meantWord, parseSwitch } from "./hints.ts";
import { type OptionSpec, parseInteger } from "./option.ts";
import { findUrlProblem } from "./url.ts";

export { HTTP_URL, isHttpUrl } from "./url.ts";

/** An invalid setting. The message names it, what was given and what is expected. */
export class ConfigError extends UserError {
  constructor(message: string) {
    super(message, EXIT_USAGE);
  }
}

/** Settings that are valid by themselves but cannot be used, such as a certificate file that is missing. */
export class StartError extends UserError {
  constructor(message: string) {
    super(message, EXIT_FAILED);
  }
}

/**
 * Returns the one form of message for a setting that cannot be used: `invalid value "x" for --mode (expected http or grpc)`.
 * `setting` is the option, the variable, or the name and its file, as the user wrote it. `meant` is the value that was likely meant.
 */
export function describeInvalidValue(
  setting: string,
  value: string,
  expected: string,
  meant?: string,
): string {
  const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
  return `invalid value "${value}" for ${setting} (expected ${expected}${hint})`;
}

export function invalidValue(setting: string, value: string, expected: string, meant?: string): ConfigError {
  return new ConfigError(describeInvalidValue(setting, value, expected, meant));
}

/** Like {@link invalidValue}, for a value that may be a secret. */
export function invalidSecret(setting: string, expected: string): ConfigError {
  return new ConfigError(
    `invalid value for ${setting}, not shown because it may be secret (expected ${expected})`,
  );
}

/** Returns `a`, `a or b`, or `a, b or c`. */
export function formatAlternatives(words: readonly string[]): string {
  const last = words.at(-1) ?? "";
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} or ${last}`;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** The contents of a configuration file: values by option name, as they would be written on the command line. */
export interface FileSettings {
  /** The path as the user gave it. */
  readonly path: string;
  readonly values: ReadonlyMap<string, string>;
}

/** What the command line gives: values by option name, and the file that it or the environment names. */
export interface GivenConfig {
  readonly mode: string | undefined;
  readonly cache: string | undefined;
  readonly values: ReadonlyMap<string, string>;
  readonly file?: FileSettings | undefined;
}

/** The value of an option, and where it comes from. */
export interface Setting {
  readonly text: string;
  readonly source: "flag" | "environment" | "file" | "default";
  /** For errors: the option, the variable, or the name and its file, as the user wrote it. */
  readonly shown: string;
}

export type FindSetting = (option: OptionSpec) => Setting;

/** An option that allows a few values. */
type OptionOf<T extends string> = Omit<OptionSpec, "words"> & { readonly words: readonly T[] };

/** Parses the values of options. Every method throws {@link ConfigError} for a value that its option does not allow. */
export class Settings {
  readonly #find: FindSetting;

  constructor(find: FindSetting) {
    this.#find = find;
  }

  text(option: OptionSpec): string {
    const { text, shown, source } = this.#find(option);
    if (source !== "default" && text === "") throw invalidValue(shown, text, "text");
    return text;
  }

  integer(option: OptionSpec): number {
    const { text, shown } = this.#find(option);
    const value = parseInteger(option, text);
    if (value !== undefined) return value;
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = option;
    throw invalidValue(shown, text, `a whole number from ${min} to ${max}`, meantNumber(option, text));
  }

  flag(option: OptionSpec): boolean {
    const { text, shown } = this.#find(option);
    const value = text === "" ? false : parseSwitch(text);
    if (value !== undefined) return value;
    throw invalidValue(shown, text, "true or false", meantWord(["true", "false"], text));
  }

  /** Returns a canonical form, so that equal values compare equal whatever their spelling: `1` and `true` for a flag. */
  value(option: OptionSpec): string {
    const { text } = this.#find(option);
    switch (option.kind) {
      case "flag":
        return String(this.flag(option));
      case "integer":
        return text === "" ? text : String(this.integer(option));
      case "text":
        return (option.words && findWord(option.words, text)) ?? text;
    }
  }

  /** Returns the value of an option that allows a few words, in any case. */
  word<T extends string>(option: OptionOf<T>): T {
    const allowed: readonly T[] = option.words;
    const { text, shown, source } = this.#find(option);
    const word = findWord(allowed, text);
    if (word !== undefined) return word;
    const expected = formatAlternatives(allowed);
    if (source === "default") throw new ConfigError(`missing ${shown} (expected ${expected})`);
    throw invalidValue(shown, text, expected, meantWord(allowed, text));
  }

  /** Returns a comma-separated list of the option's words, each at most once. */
  list<T extends string>(option: OptionOf<T>): readonly T[] {
    const allowed: readonly T[] = option.words;
    const { text, shown } = this.#find(option);
    const words = text.split(",").map((word) => findWord(allowed, word.trim()));
    const known = words.filter((word) => word !== undefined);
    if (known.length === words.length && new Set(known).size === known.length) return known;
    throw invalidValue(
      shown,
      text,
      `a comma-separated list of ${formatAlternatives(allowed)}, each at most once`,
    );
  }

  /** Returns a comma-separated list of any words, without empty ones. */
  texts(option: OptionSpec): readonly string[] {
    const words = this.text(option).split(",");
    return words.map((word) => word.trim()).filter((word) => word !== "");
  }

  /** Returns false if the option has its default. */
  isGiven(option: OptionSpec): boolean {
    return this.#find(option).source !== "default";
  }

  /** Returns the option as the user wrote it. */
  shown(option: OptionSpec): string {
    return this.#find(option).shown;
  }
}

const MAX_WHOLE = 1_000_000_000;

/** Reads a whole number from a variable of the original proxy that is not an option. Throws {@link ConfigError}. */
export function readWholeNumberVariable(
  env: Environment,
  name: string,
  {
    otherwise,
    min,
    max = MAX_WHOLE,
  }: { readonly otherwise: number; readonly min: number; readonly max?: number },
): number {
  const given = env[name];
  if (!given) return otherwise;
  const value = /^\d{1,10}$/.test(given) ? Number(given) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw invalidValue(name, given, `a whole number from ${min} to ${max}`);
}

/** Returns the http:// or https:// URL that a variable holds. Throws {@link ConfigError}. */
export function readUrl(env: Environment, name: string, otherwise: string): string {
  const given = env[name]?.trim();
  if (!given) return otherwise;
  const problem = findUrlProblem(given);
  if (problem === undefined) return given;
  throw invalidValue(name, problem.shown, problem.expected, problem.meant);
}

/** Returns whether the environment sends requests to this URL through a proxy. */
export function isProxied(upstreamUrl: string, env: Environment): boolean {
  return findProxy(upstreamUrl, env) !== undefined;
}

/** Returns the URL without user, password and query, for logs and pages. */
export function displayUrl(upstreamUrl: string): string {
  const { origin, pathname } = new URL(upstreamUrl);
  return origin + pathname.replace(/\/$/, "");
}
