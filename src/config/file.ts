import { readFile, stat } from "node:fs/promises";
import { extname } from "node:path";
import { describeUnreadable } from "../platform/file-watch.ts";
import { nearestName, type OptionSpec } from "./option.ts";
import { CONFIG_FILE, findSetting, SETTINGS } from "./options.ts";
import { ConfigError, type Environment, type FileSettings, type GivenConfig, Settings } from "./settings.ts";
import { VARIABLES } from "./variables.ts";

/** As much as a list of the most SDK keys needs, and more than anything that is no such file by mistake. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Of a name that is none. */
const MAX_SHOWN = 60;

/** What may stand in the file: all but where the file is. */
const ALLOWED: ReadonlyMap<string, OptionSpec> = new Map(
  SETTINGS.filter(({ name }) => name !== CONFIG_FILE.name).map((option) => [option.name, option]),
);

/** Reads the file that `--config` or `SFP_CONFIG` names, where one does. Throws {@link ConfigError}. */
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
  const text = (await readText(path)) ?? refuse(describeUnreadable(path));
  const values = new Map<string, string>();
  try {
    const entries = await readEntries(path, text);
    if (entries === undefined) return refuse("allowed is a file that ends with .yaml, .yml or .toml");
    for (const entry of entries) values.set(entry.name, textOf(entry, path));
  } catch (error) {
    if (error instanceof SyntaxProblem) return refuse(error.message);
    throw error;
  }
  return { path, values };
}

/** Undefined where it can't be read. */
async function readText(path: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES) throw new ConfigError(`"${path}" has ${size} bytes, allowed are ${MAX_BYTES}`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    return undefined;
  }
}

/** As it would be given on the command line: whether it can be used is found out in one place, whoever gives it. */
function textOf({ name, value }: Entry, path: string): string {
  const option = ALLOWED.get(name);
  if (option === undefined) {
    const shown = name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name;
    throw new ConfigError(`unknown name "${shown}" in ${path}: ${hintFor(name)}`);
  }
  const allowed = option.isList ? "a text, or a list of texts" : `${FORM[option.kind]}`;
  if (Array.isArray(value) && option.isList) {
    const words = value.filter((word) => typeof word === "string" && word.trim() !== "");
    if (words.length === value.length && words.length > 0) return words.join(",");
  }
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return String(value);
  }
  throw new ConfigError(`${name} in ${path} is ${describe(value)}, allowed is ${allowed}`);
}

const FORM: Readonly<Record<OptionSpec["kind"], string>> = {
  flag: "true or false",
  integer: "a whole number",
  text: "a text",
};

function describe(value: unknown): string {
  if (value === null || value === undefined) return "without a value";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  return value instanceof Date ? "a date" : "a table";
}

function hintFor(name: string): string {
  if (name === "config") return "a file can't name another one";
  const variable = VARIABLES.find((each) => each.name === name.toUpperCase().replaceAll("-", "_"));
  if (variable !== undefined) return `${variable.name} is a variable of the environment`;
  const near = nearestName(name, [...ALLOWED.keys()]);
  return near === undefined ? "allowed are the options of --help, without dashes" : `did you mean ${near}?`;
}

/** One name and value of a configuration file. */
interface Entry {
  readonly name: string;
  /** Of JSON's kinds, or whatever else the syntax has. */
  readonly value: unknown;
}

/** What a file holds is no list of names and values. Nothing of the file is in the message: it may hold SDK keys. */
class SyntaxProblem extends Error {}

/** By the ending of its path; undefined for one that is none of ours. Throws {@link SyntaxProblem}. */
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
  if (error !== undefined) throw problem(text, lineAt(error.pos[0]), error.message);
  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null)) return [];
  if (!isMap(contents)) throw new SyntaxProblem("it holds no names with values, allowed is name: value");
  return contents.items.map(({ key, value }) => {
    const line = isScalar(key) && key.range ? lineAt(key.range[0]) : 1;
    if (!isScalar(key)) throw problem(text, line, "a name must be one word");
    try {
      return { name: String(key.value), value: isNode(value) ? value.toJS(document) : null };
    } catch {
      throw problem(text, line, "an alias that stands for nothing");
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
    throw problem(text, error.line, message);
  }
}

/** How the libraries put it that a name stands there twice. */
const DUPLICATE = /must be unique|redefine an already defined/;

function problem(text: string, line: number, message: string): SyntaxProblem {
  const [, name] = /^\s*["']?([\w-]+)["']?\s*[:=]/.exec(text.split("\n")[line - 1] ?? "") ?? [];
  const isDuplicate = DUPLICATE.test(message) && name !== undefined;
  return new SyntaxProblem(
    `line ${line}: ${isDuplicate ? `${name} stands there a second time, allowed is once` : message}`,
  );
}
