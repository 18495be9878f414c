import { extname } from "node:path";

/** One name and value of a configuration file. */
export interface Entry {
  readonly name: string;
  /** Of JSON's kinds, or whatever else the syntax has. */
  readonly value: unknown;
}

/** What a file holds is no list of names and values. Nothing of the file is in the message: it may hold SDK keys. */
export class SyntaxProblem extends Error {}

/** By the ending of its path; undefined for one that is none of ours. Throws {@link SyntaxProblem}. */
export async function readEntries(path: string, text: string): Promise<readonly Entry[] | undefined> {
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
