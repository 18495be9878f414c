import type { OptionSpec } from "./option.ts";

/** A setting that can't be used; the message is one line that names it, what was given and what is allowed. */
export class ConfigError extends Error {}

/** What the settings name can't be used as it is; the message is one line for people. */
export class StartError extends Error {}

/** Reads each setting's text by its row of the table. */
export class Settings {
  readonly #find: FindSetting;

  constructor(find: FindSetting) {
    this.#find = find;
  }

  text(name: SettingName): string {
    const { text, shown, source } = this.#find(name);
    if (source !== "default" && text === "") throw new ConfigError(`${shown} is "", allowed is a text`);
    return text;
  }

  integer(name: SettingName): number {
    const { option, text, shown } = this.#find(name);
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = option;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new ConfigError(`${shown} is "${text}", allowed is a whole number from ${min} to ${max}`);
  }

  flag(name: SettingName): boolean {
    const { text, shown } = this.#find(name);
    if (text === "true" || text === "1") return true;
    if (text === "false" || text === "0" || text === "") return false;
    throw new ConfigError(`${shown} is "${text}", allowed is true or false`);
  }

  /** What the text stands for, whoever wrote it and however. */
  value(name: SettingName): string {
    const { option, text } = this.#find(name);
    switch (option.kind) {
      case "flag":
        return String(this.flag(name));
      case "integer":
        return text === "" ? text : String(this.integer(name));
      case "text":
        return text;
    }
  }

  /** One of a few words. */
  word<T extends string>(name: SettingName, allowed: readonly T[]): T {
    const { text, shown, source } = this.#find(name);
    const word = allowed.find((each) => each === text);
    if (word !== undefined) return word;
    const problem = source === "default" ? "is missing" : `is "${text}"`;
    throw new ConfigError(`${shown} ${problem}, allowed is ${allowed.join(", ")}`);
  }

  /** A comma list of words, each at most once. */
  list<T extends string>(name: SettingName, allowed: readonly T[]): readonly T[] {
    const { text, shown } = this.#find(name);
    const words = text.split(",").map((word) => allowed.find((each) => each === word.trim()));
    const known = words.filter((word) => word !== undefined);
    if (known.length === words.length && new Set(known).size === known.length) return known;
    throw new ConfigError(
      `${shown} is "${text}", allowed is a comma list of ${allowed.join(", ")}, each once`,
    );
  }

  /** A comma list of any words. */
  texts(name: SettingName): readonly string[] {
    const words = this.text(name).split(",");
    return words.map((word) => word.trim()).filter((word) => word !== "");
  }

  /** Whether somebody gave it a value: else it has its default. */
  isGiven(name: SettingName): boolean {
    return this.#find(name).source !== "default";
  }

  /** The option as the user wrote it. */
  shown(name: SettingName): string {
    return this.#find(name).shown;
  }
}

/** The name of an option, or of a positional. */
export type SettingName = string;

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
  readonly option: OptionSpec;
  readonly text: string;
  readonly source: "flag" | "environment" | "file" | "default";
  /** As whoever gave it wrote it: the option, the variable, or the name and its file. */
  readonly shown: string;
}

export type FindSetting = (name: SettingName) => Setting;

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
