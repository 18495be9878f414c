import { environmentName, OPTIONS, type OptionName, type OptionSpec } from "./options.ts";
import { POSITIONALS, type PositionalName } from "./positionals.ts";

export type SettingName = OptionName | PositionalName;

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

/** Everything that can be set, in the order of `--help`. */
export const SETTINGS: readonly (OptionSpec & { readonly name: SettingName })[] = [
  ...POSITIONALS,
  ...OPTIONS,
];

const BY_NAME: ReadonlyMap<string, OptionSpec> = new Map(SETTINGS.map((option) => [option.name, option]));

/** A flag goes before the environment, the environment before the file, the file before the default. */
export function findIn({ mode, cache, values, file }: GivenConfig, env: Environment): FindSetting {
  const words: Readonly<Record<string, string | undefined>> = { mode, cache };
  return (name) => {
    const option = BY_NAME.get(name) ?? { name, kind: "text", description: "" };
    const shown = name in words ? `<${name.toUpperCase()}>` : `--${name}`;
    const flag = words[name] ?? values.get(name);
    if (flag !== undefined) return { option, text: flag, source: "flag", shown };
    const variable = environmentName(option);
    const set = env[variable];
    if (set) return { option, text: set, source: "environment", shown: variable };
    const inFile = file?.values.get(name);
    if (file !== undefined && inFile !== undefined) {
      return { option, text: inFile, source: "file", shown: `${name} in ${file.path}` };
    }
    return { option, text: option.default ?? "", source: "default", shown };
  };
}
