// The tables of docs/configuration.md, from the options and the variables themselves.
import { join } from "node:path";
import { CACHE_OPTIONS } from "../src/config/cache.ts";
import { LIMIT_OPTIONS } from "../src/config/limits.ts";
import { EVENT_OPTIONS } from "../src/config/log-events.ts";
import { MONITORING_OPTIONS } from "../src/config/monitoring.ts";
import type { OptionSpec, VariableSpec } from "../src/config/option.ts";
import { OPTIONS, PRINT_CONFIG } from "../src/config/options.ts";

import { TLS_OPTIONS } from "../src/config/tls.ts";
import { VARIABLE_GROUPS } from "../src/config/variables.ts";
import { root } from "./command.ts";

const DOCUMENT = join(root, "docs/configuration.md");
const END = "<!-- up to here -->";

const GROUPS: readonly (readonly [heading: string, options: readonly OptionSpec[]])[] = [
  ["CACHE: the local backup, Redis", CACHE_OPTIONS],
  ["Events", EVENT_OPTIONS],
  ["TLS", TLS_OPTIONS],
  ["Who may ask, and how much", LIMIT_OPTIONS],
  ["Monitoring", MONITORING_OPTIONS],
];

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
  const grouped = GROUPS.flatMap(([, options]) => options);
  const others = [...OPTIONS, PRINT_CONFIG].filter((option) => !grouped.includes(option));
  const options = [["General", others] as const, ...GROUPS].map(optionTable);
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
  const rows = options.map(({ name, short, default: byDefault, isLive, description, ...option }) => [
    [...(short === undefined ? [] : [`\`-${short}\``]), `\`--${name}\``].join(", "),
    allowed(option),
    byDefault === undefined ? "" : `\`${byDefault}\``,
    isLive ? "yes" : "",
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
