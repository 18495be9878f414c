// The tables of docs/configuration.md, from the options and the variables themselves.
import { join } from "node:path";
import type { OptionSpec, VariableSpec } from "../src/config/option.ts";
import { OPTION_GROUPS, PRINT_CONFIG } from "../src/config/options.ts";

import { VARIABLE_GROUPS } from "../src/config/variables.ts";
import { root } from "./command.ts";

const DOCUMENT = join(root, "docs/configuration.md");
const END = "<!-- up to here -->";

/** Puts the tables into the document. */
export async function writeConfigurationTables(): Promise<void> {
  await Bun.write(DOCUMENT, withTables(await Bun.file(DOCUMENT).text()));
}

/** Whether the document has the tables as they would be written. */
export async function configurationTablesAreCurrent(): Promise<boolean> {
  const document = await Bun.file(DOCUMENT).text();
  if (document === withTables(document)) return true;
  console.error("docs/configuration.md has other options than src: run `bun run gen`");
  return false;
}

function withTables(document: string): string {
  const options = [
    ...OPTION_GROUPS.map(({ heading, options }) => optionTable([heading, Object.values(options)])),
    optionTable(["Printing", [PRINT_CONFIG]]),
  ];
  const variables = VARIABLE_GROUPS.map(variableTable);
  const between = replaced(document, "<!-- by `bun run gen`: options -->", options);
  return replaced(between, "<!-- by `bun run gen`: variables -->", variables);
}

function replaced(document: string, start: string, tables: readonly string[]): string {
  const [before, rest] = document.split(start);
  const at = rest?.indexOf(END) ?? -1;
  if (before === undefined || rest === undefined || at < 0) {
    throw new Error(`docs/configuration.md has no "${start}"`);
  }
  return `${before}${start}\n\n${tables.join("\n\n")}\n\n${rest.slice(at)}`;
}

function optionTable([heading, options]: readonly [string, readonly OptionSpec[]]): string {
  const rows = options.map(({ name, short, default: byDefault, isReloadable, description, ...option }) => [
    [...(short === undefined ? [] : [`\`-${short}\``]), `\`--${name}\``].join(", "),
    allowed(option),
    byDefault === undefined ? "" : `\`${byDefault}\``,
    isReloadable ? "yes" : "",
    description,
  ]);
  return table(heading, ["option", "value", "default", "live", ""], rows);
}

function allowed({
  kind,
  min,
  max,
  words,
  isList,
  placeholder,
}: Omit<OptionSpec, "name" | "description">): string {
  if (words !== undefined) return words.map((word) => `\`${word}\``).join(", ") + (isList ? "; a list" : "");
  if (kind === "flag") return "flag";
  if (kind === "integer") return `${min ?? 0} to ${max?.toLocaleString("en-US") ?? "…"}`;
  return placeholder ?? "text";
}

function variableTable([heading, variables]: readonly [string, readonly VariableSpec[]]): string {
  const rows = variables.map(({ name, variants = [], default: byDefault = "", description }) => [
    [name, ...variants].map((each) => `\`${each}\``).join(", "),
    byDefault,
    description,
  ]);
  return table(heading, ["variable", "default", ""], rows);
}

function table(heading: string, titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [titles, titles.map(() => "---"), ...rows];
  const cells = (line: readonly string[]) => line.map((cell) => cell.replaceAll("|", "\\|")).join(" | ");
  return [`### ${heading}`, "", ...lines.map((line) => `| ${cells(line)} |`)].join("\n");
}
