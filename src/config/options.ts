import { ACCESS } from "./groups/access.ts";
import { BOOTSTRAP } from "./groups/bootstrap.ts";
import { CACHE } from "./groups/cache.ts";
import { ID_LISTS } from "./groups/id-lists.ts";
import { LIMITS } from "./groups/limits.ts";
import { LISTENERS } from "./groups/listeners.ts";
import { LOG_EVENTS } from "./groups/log-events.ts";
import { LOGGING } from "./groups/logging.ts";
import { MONITORING } from "./groups/monitoring.ts";
import { PROFILING } from "./groups/profiling.ts";
import { SPECS, UPSTREAM } from "./groups/specs.ts";
import { TLS } from "./groups/tls.ts";
import { namesOf, type OptionGroup, type OptionSpec, POSITIONALS } from "./option.ts";
import { ConfigError, type Environment, type FindSetting, type GivenConfig } from "./settings.ts";

/** The path of the configuration file. */
export const CONFIG_FILE: OptionSpec = {
  name: "config",
  kind: "text",
  placeholder: "FILE",
  description: "YAML or TOML file with options by name without dashes; flags and variables override it",
};

/** The options of one subject, with their heading in documents. */
interface HeadedGroup {
  readonly heading: string;
  readonly options: OptionGroup;
}

/** In the order of `--help`. Names, short names and defaults of the original proxy must stay. */
export const OPTION_GROUPS: readonly HeadedGroup[] = [
  { heading: "Configuration file", options: { config: CONFIG_FILE } },
  { heading: "Config specs", options: SPECS },
  { heading: "Requests to upstream", options: UPSTREAM },
  { heading: "Backup: local or Redis", options: CACHE },
  { heading: "Config specs in files", options: BOOTSTRAP },
  { heading: "ID lists", options: ID_LISTS },
  { heading: "Ports", options: LISTENERS },
  { heading: "TLS", options: TLS },
  { heading: "Log events", options: LOG_EVENTS },
  { heading: "Access and limits", options: { ...ACCESS, ...LIMITS } },
  { heading: "Monitoring", options: MONITORING },
  { heading: "Logging", options: LOGGING },
  { heading: "Profiling", options: PROFILING },
];

export const OPTIONS: readonly OptionSpec[] = OPTION_GROUPS.flatMap(({ options }) => Object.values(options));

/** Options that print something and exit instead of configuring the relay. */
export const PRINT_OPTIONS: readonly OptionSpec[] = [
  {
    name: "help",
    short: "h",
    kind: "flag",
    description: "Print every option; -h prints only the most common ones",
  },
  { name: "version", short: "V", kind: "flag", description: "Print version" },
];

/** Runs instead of a relay. */
export const PRINT_CONFIG: OptionSpec = {
  name: "print-config",
  kind: "flag",
  description: "Print the configuration as YAML for --config, with the source of each value",
};

export const ALL_OPTIONS: readonly OptionSpec[] = [...OPTIONS, PRINT_CONFIG, ...PRINT_OPTIONS];

export const NAME = "statsig-forward-proxy";

/** Returns the variables that set an option, one for each of its names. */
export function environmentNames(option: OptionSpec): readonly string[] {
  return namesOf(option).map((name) => `SFP_${name.toUpperCase().replaceAll("-", "_")}`);
}

/** All settings, positional arguments included, in the order of `--help`. */
export const SETTINGS: readonly OptionSpec[] = [...POSITIONALS, ...OPTIONS];

/**
 * A flag overrides the environment, the environment overrides the file, and the file overrides the default. Throws {@link ConfigError}
 * if an option is set by two of its names in the environment.
 */
export function findSetting({ mode, cache, values, file }: GivenConfig, env: Environment): FindSetting {
  const words: Readonly<Record<string, string | undefined>> = { mode, cache };
  return (option) => {
    const { name } = option;
    const shown = name in words ? `<${name.toUpperCase()}>` : `--${name}`;
    const flag = words[name] ?? values.get(name);
    if (flag !== undefined) return { text: flag, source: "flag", shown };
    const [variable, other] = environmentNames(option).filter((each) => env[each]);
    if (variable !== undefined && other !== undefined) {
      throw new ConfigError(
        `${other} is the same option as ${variable}, which is set as well (set only one)`,
      );
    }
    if (variable !== undefined) return { text: env[variable] ?? "", source: "environment", shown: variable };
    const inFile = file?.values.get(name);
    if (file !== undefined && inFile !== undefined) {
      return { text: inFile, source: "file", shown: `${name} in ${file.path}` };
    }
    return { text: option.default ?? "", source: "default", shown };
  };
}
