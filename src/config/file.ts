import { readFile, stat } from "node:fs/promises";
import { extname } from "node:path";
import { describeErrno } from "../platform/errors.ts";
import { namesOf, nearestName, type OptionSpec } from "./option.ts";
import { CONFIG_FILE, findSetting, SETTINGS } from "./options.ts";
import {
  ConfigError,
  type Environment,
  type FileSettings,
  formatAlternatives,
  type GivenConfig,
  Settings,
} from "./settings.ts";
import { VARIABLES } from "./variables.ts";

/** Enough for a list of the maximum number of SDK keys. It stops the relay from reading a huge file named by mistake. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Characters of an unknown name that an error shows. */
const MAX_SHOWN = 60;

/** Every setting may stand in the file, except the path of the file itself. */
const ALLOWED: ReadonlyMap<string, OptionSpec> = new Map(
  SETTINGS.filter(({ name }) => name !== CONFIG_FILE.name).flatMap((option) =>
    namesOf(option).map((name) => [name, option] as const),
  ),
);

/** Reads the file that `--config` or `SFP_CONFIG` names, if either is set. Throws {@link ConfigError}. */
export async function withConfigFile(given: GivenConfig, env: Environment): Promise<GivenConfig> {
  const settings = new Settings(findSetting({ ...given, file: undefined }, env));
  const path = settings.text(CONFIG_FILE);
  return {
    ...given,
    file: path === "" ? undefined : await readConfigFile(path, settings.shown(CONFIG_FILE)),
  };
}

async function readConfigFile(path: string, shown: string): Promise<FileSettings> {
  const refuse = (problem: string): never => {
    throw new ConfigError(`${shown} "${path}": ${problem}`);
  };
  const text = await readText(path, refuse);
  const values = new Map<string, string>();
  try {
    const entries = await readEntries(path, text);
    if (entries === undefined) return refuse("unknown file type (expected .yaml, .yml or .toml)");
    for (const entry of entries) {
      const option = findOption(entry.name, path);
      if (values.has(option.name)) {
        const other = namesOf(option).filter((name) => name !== entry.name);
        return refuse(
          `${entry.name} is the same option as ${formatAlternatives(other)}, which is set as well`,
        );
      }
      values.set(option.name, formatEntry(entry, option, path));
    }
  } catch (error) {
    if (error instanceof SyntaxProblem) return refuse(error.message);
    throw error;
  }
  return { path, values };
}

async function readText(path: string, refuse: (problem: string) => never): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES)
      throw new ConfigError(`"${path}" has ${size} bytes (expected at most ${MAX_BYTES})`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    return refuse(describeErrno(error));
  }
}

function findOption(name: string, path: string): OptionSpec {
  const option = ALLOWED.get(name);
  if (option !== undefined) return option;
  const shown = name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name;
  throw new ConfigError(`unknown name "${shown}" in ${path} (${hintFor(name)})`);
}

/** Returns the value as it would be written on the command line, where all sources are validated alike. */
function formatEntry({ name, value }: Entry, option: OptionSpec, path: string): string {
  const expected = option.isList ? "text or a list of texts" : EXPECTED[option.kind];
  if (Array.isArray(value) && option.isList) {
    const words = value.filter((word) => typeof word === "string" && word.trim() !== "");
    if (words.length === value.length && words.length > 0) return words.join(",");
  }
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return String(value);
  }
  throw new ConfigError(`invalid ${describeType(value)} for ${name} in ${path} (expected ${expected})`);
}

const EXPECTED: Readonly<Record<OptionSpec["kind"], string>> = {
  flag: "true or false",
  integer: "a whole number",
  text: "text",
};

function describeType(value: unknown): string {
  if (value === null || value === undefined) return "empty value";
  if (Array.isArray(value)) return value.length === 0 ? "empty list" : "list";
  return value instanceof Date ? "date" : "table";
}

function hintFor(name: string): string {
  if (name === "config") return "a configuration file cannot name another one";
  const variable = VARIABLES.find((each) => each.name === name.toUpperCase().replaceAll("-", "_"));
  if (variable !== undefined) return `${variable.name} is an environment variable`;
  const near = nearestName(name, [...ALLOWED.keys()]);
  return near === undefined ? "expected an option of --help without its dashes" : `did you mean ${near}?`;
}

/** One name and value of a configuration file. */
interface Entry {
  readonly name: string;
  /** A JSON value, or another type that the syntax has, such as a date. */
  readonly value: unknown;
}

/** The file is not a map of names to values. The message quotes no value of the file, since it may hold SDK keys. */
class SyntaxProblem extends Error {}

/** Parses the file by its extension. Returns undefined if the extension is unknown. Throws {@link SyntaxProblem}. */
async function readEntries(path: string, text: string): Promise<readonly Entry[] | undefined> {
  switch (extname(path).toLowerCase()) {
    case ".yaml":
    case ".yml":
      return await readYaml(text);
    case ".toml":
      return await readToml(text);
    default:
      return undefined;
  }
}

async function readYaml(text: string): Promise<readonly Entry[]> {
  const { isMap, isNode, isScalar, LineCounter, parseDocument } = await import("yaml");
  const lines = new LineCounter();
  const lineAt = (offset: number) => lines.linePos(offset).line;
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "error" });
  const [error] = document.errors;
  if (error !== undefined) throw syntaxProblem(text, lineAt(error.pos[0]), error.message);
  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null)) return [];
  if (!isMap(contents)) throw new SyntaxProblem("invalid content (expected lines of name: value)");
  return contents.items.map(({ key, value }) => {
    const line = isScalar(key) && key.range ? lineAt(key.range[0]) : 1;
    if (!isScalar(key)) throw syntaxProblem(text, line, "invalid name (expected one word)");
    try {
      return { name: String(key.value), value: isNode(value) ? value.toJS(document) : null };
    } catch {
      throw syntaxProblem(text, line, "alias without an anchor");
    }
  });
}

async function readToml(text: string): Promise<readonly Entry[]> {
  const { parse, TomlError } = await import("smol-toml");
  try {
    return Object.entries(parse(text)).map(([name, value]) => ({ name, value }));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [message = ""] = error.message.replace(/^Invalid TOML document: /, "").split("\n");
    throw syntaxProblem(text, error.line, message);
  }
}

/** The messages of both parsers for a name that is set twice. */
const DUPLICATE = /must be unique|redefine an already defined/;

function syntaxProblem(text: string, line: number, message: string): SyntaxProblem {
  const [, name] = /^\s*["']?([\w-]+)["']?\s*[:=]/.exec(text.split("\n")[line - 1] ?? "") ?? [];
  const isDuplicate = DUPLICATE.test(message) && name !== undefined;
  return new SyntaxProblem(`line ${line}: ${isDuplicate ? `duplicate name ${name}` : message}`);
}
