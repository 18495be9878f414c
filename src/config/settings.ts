import { EXIT_FAILED, EXIT_USAGE, UserError } from "../platform/errors.ts";
import type { OptionSpec } from "./option.ts";

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

/** An option that allows a few values. */
type OptionOf<T extends string> = Omit<OptionSpec, "words"> & { readonly words: readonly T[] };

/** Reads each setting's text by its row of the table. */
export class Settings {
  readonly #find: FindSetting;

  constructor(find: FindSetting) {
    this.#find = find;
  }

  text(option: OptionSpec): string {
    const { text, shown, source } = this.#find(option);
    if (source !== "default" && text === "") throw new ConfigError(`${shown} is "", allowed is a text`);
    return text;
  }

  integer(option: OptionSpec): number {
    const { text, shown } = this.#find(option);
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = option;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new ConfigError(`${shown} is "${text}", allowed is a whole number from ${min} to ${max}`);
  }

  flag(option: OptionSpec): boolean {
    const { text, shown } = this.#find(option);
    if (text === "true" || text === "1") return true;
    if (text === "false" || text === "0" || text === "") return false;
    throw new ConfigError(`${shown} is "${text}", allowed is true or false`);
  }

  /** What the text stands for, whoever wrote it and however. */
  value(option: OptionSpec): string {
    const { text } = this.#find(option);
    switch (option.kind) {
      case "flag":
        return String(this.flag(option));
      case "integer":
        return text === "" ? text : String(this.integer(option));
      case "text":
        return text;
    }
  }

  /** One of a few words. */
  word<T extends string>(option: OptionOf<T>): T {
    const allowed: readonly T[] = option.words;
    const { text, shown, source } = this.#find(option);
    const word = allowed.find((each) => each === text);
    if (word !== undefined) return word;
    const problem = source === "default" ? "is missing" : `is "${text}"`;
    throw new ConfigError(`${shown} ${problem}, allowed is ${allowed.join(", ")}`);
  }

  /** A comma list of words, each at most once. */
  list<T extends string>(option: OptionOf<T>): readonly T[] {
    const allowed: readonly T[] = option.words;
    const { text, shown } = this.#find(option);
    const words = text.split(",").map((word) => allowed.find((each) => each === word.trim()));
    const known = words.filter((word) => word !== undefined);
    if (known.length === words.length && new Set(known).size === known.length) return known;
    throw new ConfigError(
      `${shown} is "${text}", allowed is a comma list of ${allowed.join(", ")}, each once`,
    );
  }

  /** A comma list of any words. */
  texts(option: OptionSpec): readonly string[] {
    const words = this.text(option).split(",");
    return words.map((word) => word.trim()).filter((word) => word !== "");
  }

  /** Whether somebody gave it a value: else it has its default. */
  isGiven(option: OptionSpec): boolean {
    return this.#find(option).source !== "default";
  }

  /** The option as the user wrote it. */
  shown(option: OptionSpec): string {
    return this.#find(option).shown;
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** What a configuration file gives: texts by name, whatever their form was there. */
export interface FileSettings {
  /** As it was given. */
  readonly path: string;
  readonly values: ReadonlyMap<string, string>;
}

/** What was given on the command line: texts by option name. And the file that it or the environment names. */
export interface GivenConfig {
  readonly mode: string | undefined;
  readonly cache: string | undefined;
  readonly values: ReadonlyMap<string, string>;
  readonly file?: FileSettings | undefined;
}

/** A setting, and who gave it. */
export interface Setting {
  readonly text: string;
  readonly source: "flag" | "environment" | "file" | "default";
  /** As whoever gave it wrote it: the option, the variable, or the name and its file. */
  readonly shown: string;
}

export type FindSetting = (option: OptionSpec) => Setting;

const MAX_WHOLE = 1_000_000_000;

/** A whole number from a variable of the original proxy, which is no option. Throws ConfigError. */
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
  throw new ConfigError(`${name} is "${given}", allowed is a whole number from ${min} to ${max}`);
}

export function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

/** Whether requests to it go through a proxy. */
export function isProxied(upstreamUrl: string, env: Environment): boolean {
  const names = upstreamUrl.startsWith("https:")
    ? ["HTTPS_PROXY", "https_proxy"]
    : ["HTTP_PROXY", "http_proxy"];
  return [...names, "ALL_PROXY", "all_proxy"].some((name) => Boolean(env[name]));
}

/** Where it is, without user and password, for people. */
export function displayUrl(upstreamUrl: string): string {
  const { origin, pathname } = new URL(upstreamUrl);
  return origin + pathname.replace(/\/$/, "");
}

/** Returns the http:// or https:// URL that a variable holds. Throws {@link ConfigError}. */
export function readUrl(env: Environment, name: string, otherwise: string): string {
  const given = env[name];
  if (!given) return otherwise;
  if (isHttpUrl(given)) return given;
  throw new ConfigError(`${name} is "${given}", allowed is an http:// or https:// URL`);
}
