// Generates what the Helm chart knows about the options of the relay, so that it can reject a misspelt one.
import { join } from "node:path";
import { namesOf, type OptionSpec } from "../../src/config/option.ts";
import { ALL_OPTIONS, CONFIG_FILE, environmentNames, OPTIONS, SETTINGS } from "../../src/config/options.ts";
import { VARIABLES } from "../../src/config/variables.ts";
import { root } from "../command.ts";

const CHART = join(root, "deploy/helm/statsig-forward-proxy");
const SCHEMA = join(CHART, "values.schema.json");
const NAMES = join(CHART, "templates/_options.tpl");

/** Writes the options into values.schema.json, and their names into a template. */
export async function writeChartOptions(): Promise<void> {
  await Bun.write(SCHEMA, withOptions(await Bun.file(SCHEMA).text()));
  await Bun.write(NAMES, formatNames());
}

/** Returns a problem if the chart's options differ from the declarations. */
export async function findStaleChartOptions(): Promise<string[]> {
  const schema = await Bun.file(SCHEMA).text();
  const isCurrent = schema === withOptions(schema) && (await Bun.file(NAMES).text()) === formatNames();
  return isCurrent ? [] : ["the Helm chart does not match the options in src/config: run `npm run gen`"];
}

function withOptions(schema: string): string {
  const options = SETTINGS.filter((option) => option !== CONFIG_FILE).flatMap((option) =>
    namesOf(option).map((name) => `${JSON.stringify(name)}: ${JSON.stringify(toSchema(option))}`),
  );
  const lines = options.map((option) => `        ${option}`).join(",\n");
  const start = '\n      "properties": {\n';
  const from = schema.indexOf(start);
  const to = schema.indexOf("\n      }", from);
  if (from < 0 || to < 0) throw new Error(`${SCHEMA} has no definition with properties`);
  return `${schema.slice(0, from)}${start}${lines}${schema.slice(to)}`;
}

/** Allows what the relay takes for the option from its file. */
function toSchema({ kind, min = 0, max, original, words, isList, description }: OptionSpec): object {
  if (kind === "flag") return { enum: [true, false, 1, 0, "true", "false", "1", "0"], description };
  if (kind === "integer") {
    // A number that the original proxy takes is never refused.
    const range = original === undefined ? { minimum: min, ...(max !== undefined && { maximum: max }) } : {};
    return { type: ["integer", "string"], pattern: "^[+-]?\\d+$", ...range, description };
  }
  if (isList) {
    const items = { type: "string", minLength: 1 };
    return { type: ["string", "array"], minLength: 1, minItems: 1, items, description };
  }
  if (words !== undefined) return { enum: words.flatMap(withBoolean), description };
  return { type: ["string", "number", "boolean"], minLength: 1, description };
}

/** YAML reads `true` as a boolean. */
const withBoolean = (word: string): (string | boolean)[] =>
  word === "true" || word === "false" ? [word, word === "true"] : [word];

/** For arguments and variables, which the schema cannot check with a readable message. */
function formatNames(): string {
  const variables = [
    ...SETTINGS.flatMap(environmentNames),
    ...VARIABLES.map(({ name }) => name).filter((name) => name.startsWith("SFP_")),
  ];
  return [
    "{{- /* By `npm run gen`, from src/config. */ -}}",
    formatTemplate("optionNames", ALL_OPTIONS.flatMap(namesOf)),
    formatTemplate("flagNames", OPTIONS.filter(({ kind }) => kind === "flag").flatMap(namesOf)),
    formatTemplate("variableNames", variables),
    "",
  ].join("\n");
}

function formatTemplate(name: string, words: readonly string[]): string {
  const lines = words.map((word) => `  ${JSON.stringify(word)}`).join(",\n");
  return `{{- define "sfp.${name}" -}}\n[\n${lines}\n]\n{{- end }}`;
}
