import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LOG_LEVELS } from "../../src/telemetry/logging/logger.ts";

// Compares the index of log messages with the sources. A test that runs the relay could not cause every message, so the
// sources are scanned for the two places where a message is a literal:
// - the second argument of `.log(LEVEL, MESSAGE, …)`, itself or through a constant or function of the same file;
// - the texts of an outage: the properties `begins`, `lasts` and `ends`.
// Calls whose first argument names no level (`Math.log`, a logger that passes a line on) are skipped. Every other call
// must resolve to a literal, so that no message escapes the scan. The exception are messages that are the name of their
// event; their rows are compared with the names of events.

const page = "docs/log-messages.md";
const root = join(import.meta.dir, "../..");
const OUTAGE_LEVELS: Readonly<Record<string, string>> = { begins: "warn", lasts: "warn", ends: "info" };

const STRING = /"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/.source;

/** Matches a conditional expression up to its question mark. */
const CONDITION = new RegExp(`^(?:${STRING}|[^?"\`])*\\?`);

const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => readFileSync(join(root, "src", path), "utf8"));

interface Message {
  /** As in the source: a placeholder of a template is still `${…}`. */
  readonly text: string;
  readonly levels: readonly string[];
}

function findLiterals(code: string): string[] {
  return [...code.matchAll(new RegExp(STRING, "g"))].map(([literal]) => literal.slice(1, -1));
}

/** Splits the arguments of a call at its commas. `start` is the position after the opening parenthesis. */
function findArguments(code: string, start: number): string[] {
  const parts: string[] = [];
  const token = new RegExp(`${STRING}|[()[\\]{},]`, "g");
  token.lastIndex = start;
  let from = start;
  for (let depth = 0, match = token.exec(code); match !== null; match = token.exec(code)) {
    const [text] = match;
    if ("([{".includes(text)) depth++;
    else if (")]}".includes(text)) depth--;
    if (depth > 0 || (depth === 0 && text !== ",")) continue;
    parts.push(code.slice(from, match.index).trim());
    from = token.lastIndex;
    if (depth < 0) break;
  }
  return parts;
}

/** Returns what a constant is set to: in the last definition before `position`, or else in the first one after it. */
function findDefinition(name: string, code: string, position: number): string {
  const pattern = new RegExp(`\\bconst ${name}\\s*=((?:${STRING}|[^;"\`])+);`, "g");
  const definitions = [...code.matchAll(pattern)];
  const [, text = ""] = definitions.findLast(({ index }) => index < position) ?? definitions[0] ?? [];
  return text;
}

/** Scans one file. `unresolved` are expressions that should be messages but have no literal. */
function scan(code: string): { messages: Message[]; unresolved: string[] } {
  const messages: Message[] = [];
  const unresolved: string[] = [];
  for (const { 0: call, index } of code.matchAll(/\.log\(/g)) {
    const [level = "", message = ""] = findArguments(code, index + call.length);
    const levels = findLiterals(level).filter((word) => (LOG_LEVELS as readonly string[]).includes(word));
    const isOutage = /\.(?:begins|lasts|ends)$/.test(message);
    const isEventName = /\bkind\.replaceAll\(/.test(message);
    if (levels.length === 0 || isOutage || isEventName) continue;
    const [, name] = /^(\w+)(?:\([^"`]*\))?$/.exec(message) ?? [];
    const expression = name === undefined ? message : findDefinition(name, code, index);
    const isParameter = expression === "" && code.includes(`${name}: string,`);
    if (isParameter) continue;
    // What is compared in a conditional expression is no message.
    const texts = findLiterals(expression.replace(CONDITION, ""));
    if (texts.length === 0) unresolved.push(message);
    messages.push(...texts.map((text) => ({ text, levels })));
  }
  const outage = new RegExp(`\\b(begins|lasts|ends):\\s*(${STRING})`, "g");
  for (const [, name = "", literal = ""] of code.matchAll(outage))
    messages.push({ text: literal.slice(1, -1), levels: [OUTAGE_LEVELS[name] ?? ""] });
  return { messages, unresolved };
}

/** Reads the rows of the page. The first cell has several messages where the source has a placeholder. */
const rows = readFileSync(join(root, page), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .map((line) => {
    const [first = "", level = "", ...others] = line
      .split("|")
      .map((cell) => cell.trim())
      .slice(1, -1);
    return { shown: findLiterals(first), level, others };
  });

const scanned = sources.map(scan);
const messages = scanned.flatMap((each) => each.messages);

function isSame(shown: string, { text }: Message): boolean {
  const pattern = text
    .split(/\$\{[^}]*\}/)
    .map(RegExp.escape)
    .join(".+");
  return new RegExp(`^${pattern}$`).test(shown);
}

function isEventName(shown: string): boolean {
  const name = JSON.stringify(shown.replaceAll(" ", "_"));
  return sources.some((code) => code.includes(name));
}

describe(page, () => {
  test("is compared with all messages of the sources", () => {
    expect(messages.length).toBeGreaterThan(60);
    expect(scanned.flatMap(({ unresolved }) => unresolved)).toEqual([]);
  });

  test("has every message of the sources, with its level", () => {
    const isThere = (message: Message) =>
      rows.some(
        ({ shown, level }) => message.levels.includes(level) && shown.some((each) => isSame(each, message)),
      );
    expect(messages.filter((message) => !isThere(message))).toEqual([]);
  });

  test("has only messages of the sources", () => {
    const isKnown = (shown: string) =>
      messages.some((message) => isSame(shown, message)) || isEventName(shown);
    expect(rows.flatMap(({ shown }) => shown).filter((each) => !isKnown(each))).toEqual([]);
  });

  test("has each message once, with a level, a cause and a fix", () => {
    const shown = rows.flatMap((row) => row.shown);
    expect(shown.filter((each, at) => shown.indexOf(each) !== at)).toEqual([]);
    for (const { level, others } of rows) {
      expect(LOG_LEVELS as readonly string[]).toContain(level);
      expect(others).toEqual([expect.stringMatching(/\w/), expect.any(String)]);
    }
  });

  test("names only options that exist", () => {
    const findOptions = (path: string) =>
      readFileSync(join(root, path), "utf8").match(/(?<![\w-])--[a-z][a-z0-9-]+/g) ?? [];
    const options = new Set(findOptions("docs/configuration.md"));
    expect(findOptions(page).filter((option) => !options.has(option))).toEqual([]);
  });
});
