import { stringify } from "yaml";
import { redactSecrets, redactUserInfo } from "../access/redact.ts";
import { maskSdkKey, parseSdkKeyList, splitList } from "../access/sdk-key.ts";
import { readConfig } from "../config/config.ts";
import { findUnknownVariables } from "../config/environment.ts";
import type { DoubtfulVariable, OptionSpec, VariableSpec } from "../config/option.ts";
import { CONFIG_FILE, findSetting, NAME, SETTINGS } from "../config/options.ts";
import {
  ConfigError,
  type Environment,
  type GivenConfig,
  type Setting,
  Settings,
} from "../config/settings.ts";
import { VARIABLES } from "../config/variables.ts";
import { VERSION } from "../version.ts";

/**
 * Returns the configuration that a relay would start with, as YAML for `--config`. Settings that contain secrets, and variables that
 * are not options, are comments. Throws for an invalid configuration, as a start does.
 */
export function formatConfig(
  given: GivenConfig,
  env: Environment,
  doubtful: readonly DoubtfulVariable[],
): string {
  readConfig(given, env);
  const find = findSetting(given, env);
  const settings = new Settings(find);
  const options = SETTINGS.filter((option) => option !== CONFIG_FILE);
  const set = VARIABLES.filter(({ name }) => env[name]);
  return [
    `# Configuration of ${NAME} ${VERSION}, with the source of each value`,
    ...options.map((option) => describeSetting(option, find(option), () => settings.value(option))),
    ...(set.length > 0 ? ["", "# Environment variables that are not options"] : []),
    ...set.map((variable) => comment(`${variable.name}=${shownValue(variable, env[variable.name] ?? "")}`)),
    ...findUnknownVariables(env).map(({ variable }) =>
      comment(`${variable}: unknown environment variable, ignored`),
    ),
    ...doubtful.map(({ variable, reason }) => comment(`${variable} is likely wrong: ${reason}`)),
  ].join("\n");
}

function describeSetting(option: OptionSpec, setting: Setting, read: () => string): string {
  const { text } = setting;
  const from = `# ${oneLine(describeSource(option, setting))}`;
  if (text === "" && option.kind !== "flag") return `# ${option.name} is not set`;
  const shown = maskText(option, setting);
  const value = shown === text ? read() : shown;
  const line = `${option.name}: ${formatScalar(option, value)}  ${from}`;
  return shown === text ? line : `# ${line}, secrets hidden`;
}

function describeSource(option: OptionSpec, { source, shown }: Setting): string {
  return source === "file" ? shown.slice(`${option.name} in `.length) : source === "default" ? source : shown;
}

/** Numbers and booleans need no quotes in YAML. */
function formatScalar({ kind }: OptionSpec, value: string): string {
  if (kind === "integer" || value === "true" || value === "false") return value;
  return stringify(value, { lineWidth: 0, blockQuote: false }).trimEnd();
}

/** Shows the path of a key file, but not its keys. */
function maskText(option: OptionSpec, { text, shown }: Setting): string {
  if (!option.isSecret || text.startsWith("@") || text === "") return redactSecrets(text);
  // In `--pin` the version follows the key.
  const [keys, rests] = [/=.*/, /[^=]*/].map((removed) =>
    splitList(text).map((entry) => entry.replace(removed, "")),
  );
  const masked = parseSdkKeyList((keys ?? []).join(), (problem) => {
    throw new ConfigError(`${shown}: ${problem}`);
  }).map(maskSdkKey);
  return masked.map((key, at) => key + (rests?.[at] ?? "")).join(",");
}

function shownValue({ isSecret }: VariableSpec, value: string): string {
  return isSecret ? "…" : redactUserInfo(value);
}

const comment = (text: string): string => `# ${oneLine(text)}`;

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ");
