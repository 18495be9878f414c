import { environmentName } from "./options.ts";
import { type Environment, type FindSetting, SETTINGS, type SettingName } from "./setting-sources.ts";

/** A setting that can't be used; the message is one line that names it, what was given and what is allowed. */
export class ConfigError extends Error {}

/** What the settings name can't be used as it is; the message is one line for people. */
export class StartError extends Error {}

export type { Environment } from "./setting-sources.ts";

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

/** Secrets: they have no place on a command line, which every process of a machine can read. */
const SECRET_VARIABLES = ["SFP_X509_SERVER_KEY_PASSPHRASE"];

/** Names that begin as ours do and are none of them: likely misspelt. */
export function unknownVariables(env: Environment): readonly string[] {
  const known = new Set([...SETTINGS.map(environmentName), ...SECRET_VARIABLES]);
  return Object.keys(env).filter((name) => name.startsWith("SFP_") && !known.has(name));
}
