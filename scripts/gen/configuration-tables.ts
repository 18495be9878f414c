// Generates the tables of docs/configuration.md from the declarations of options and variables.
import { join } from "node:path";
import { namesOf, type OptionSpec, type VariableSpec } from "../../src/config/option.ts";
import { OPTION_GROUPS, PRINT_CONFIG } from "../../src/config/options.ts";
import { VARIABLE_GROUPS } from "../../src/config/variables.ts";
import { root } from "../command.ts";

const DOCUMENT = join(root, "docs/configuration.md");
const END = "<!-- up to here -->";

/** Replaces the tables in docs/configuration.md. */
export async function writeConfigurationTables(): Promise<void> {
  await Bun.write(DOCUMENT, withTables(await Bun.file(DOCUMENT).text()));
}

/** Returns a problem if the tables in docs/configuration.md differ from the declarations. */
export async function findStaleConfigurationTables(): Promise<string[]> {
  const document = await Bun.file(DOCUMENT).text();
  if (document === withTables(document)) return [];
  return ["docs/configuration.md does not match the options in src/config: run `npm run gen`"];
}

function withTables(document: string): string {
  const options = [
    ...OPTION_GROUPS.map(({ heading, options }) => formatOptions([heading, Object.values(options)])),
    formatOptions(["Printing", [PRINT_CONFIG]]),
  ];
  const variables = VARIABLE_GROUPS.map(formatVariables);
  const between = replaceBetween(document, "<!-- by `bun run gen`: options -->", options);
  return replaceBetween(between, "<!-- by `bun run gen`: variables -->", variables);
}

function replaceBetween(document: string, start: string, tables: readonly string[]): string {
  const [before, rest] = document.split(start);
  const at = rest?.indexOf(END) ?? -1;
  if (before === undefined || rest === undefined || at < 0) {
    throw new Error(`docs/configuration.md has no "${start}"`);
  }
  return `${before}${start}\n\n${tables.join("\n\n")}\n\n${rest.slice(at)}`;
}

function formatOptions([heading, options]: readonly [string, readonly OptionSpec[]]): string {
  const rows = options.map(({ short, default: byDefault, isReloadable, description, ...option }) => [
    [...(short === undefined ? [] : [`-${short}`]), ...namesOf(option).map((name) => `--${name}`)]
      .map((name) => `\`${name}\``)
      .join(", "),
    formatAllowed(option),
    byDefault === undefined ? "" : `\`${byDefault}\``,
    isReloadable ? "yes" : "",
    description,
  ]);
  return formatTable(heading, ["option", "value", "default", "live", ""], rows);
}

function formatAllowed({
  kind,
  min,
  max,
  words,
  isList,
  placeholder,
}: Omit<OptionSpec, "description">): string {
  if (words !== undefined) return words.map((word) => `\`${word}\``).join(", ") + (isList ? "; a list" : "");
  if (kind === "flag") return "flag";
  if (kind === "integer") return `${min ?? 0} to ${max?.toLocaleString("en-US") ?? "…"}`;
  return placeholder ?? "text";
}

function formatVariables([heading, variables]: readonly [string, readonly VariableSpec[]]): string {
  const rows = variables.map(({ name, variants = [], default: byDefault = "", description }) => [
    [name, ...variants].map((each) => `\`${each}\``).join(", "),
    byDefault,
    description,
  ]);
  return formatTable(heading, ["variable", "default", ""], rows);
}

function formatTable(
  heading: string,
  titles: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const lines = [titles, titles.map(() => "---"), ...rows];
  const cells = (line: readonly string[]) => line.map((cell) => cell.replaceAll("|", "\\|")).join(" | ");
  return [`### ${heading}`, "", ...lines.map((line) => `| ${cells(line)} |`)].join("\n");
}
