/** A comment or a string literal of a source file, or a paragraph of a document. */
export interface Prose {
  readonly kind: "comment" | "docstring" | "string" | "document";
  /** Without comment markers. An expression in a template literal is replaced by `…`. */
  readonly text: string;
  /** The line on which `text` starts, counted from 1. */
  readonly line: number;
}

interface Token {
  readonly text: string;
  readonly prose?: Omit<Prose, "line">;
}

/** Characters and words after which a `/` starts a regular expression and is no division. */
const BEFORE_REGEX = /(?:^|[([{,;:=!&|?+\-*%<>~^}]|\b(?:return|typeof|case|in|of|await|yield))$/;

const LINE_COMMENTS = /(?:\/\/[^\n]*(?:\n[^\S\n]*(?=\/\/))?)+/y;
const BLOCK_COMMENT = /\/\*[\s\S]*?\*\//y;
const STRING = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y;
const REGEX = /\/(?![*/])(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
const WORD = /[\w$]+|\s+/y;

/**
 * Returns the comments and string literals of TypeScript or JavaScript. Those inside the expressions of a template literal
 * are omitted.
 */
export function findProseInSource(source: string): Prose[] {
  const found: Prose[] = [];
  let code = "";
  let line = 1;
  for (let at = 0; at < source.length; ) {
    const token = readToken(source, at, code);
    if (token.prose !== undefined) found.push({ ...token.prose, line });
    else if (token.text.trim() !== "") code = token.text;
    if (token.prose?.kind === "string") code = '"';
    line += token.text.split("\n").length - 1;
    at += token.text.length;
  }
  return found;
}

function readToken(source: string, at: number, before: string): Token {
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at;
    return pattern.exec(source)?.[0];
  };
  const comment = match(BLOCK_COMMENT);
  if (comment !== undefined) {
    const kind = comment.startsWith("/**") ? "docstring" : "comment";
    const text = comment.slice(kind === "docstring" ? 3 : 2, -2).replace(/\n[^\S\n]*\*?/g, "\n");
    return { text: comment, prose: { kind, text } };
  }
  const lines = match(LINE_COMMENTS);
  if (lines !== undefined) {
    return { text: lines, prose: { kind: "comment", text: lines.replace(/^[^\S\n]*\/\//gm, "") } };
  }
  const string = match(STRING);
  if (string !== undefined) return { text: string, prose: { kind: "string", text: string.slice(1, -1) } };
  if (source[at] === "`") return readTemplate(source, at);
  const regex = BEFORE_REGEX.test(before) ? match(REGEX) : undefined;
  return { text: regex ?? match(WORD) ?? source.charAt(at) };
}

function readTemplate(source: string, start: number): Token {
  let text = "";
  let at = start + 1;
  while (at < source.length && source[at] !== "`") {
    const isExpression = source.startsWith("${", at);
    const next = isExpression ? endOfExpression(source, at + 2) : at + (source[at] === "\\" ? 2 : 1);
    const skipped = source.slice(at, next);
    // Line breaks stay, so that the lines of what follows are right.
    text += isExpression ? `…${skipped.replace(/[^\n]/g, "")}` : skipped;
    at = next;
  }
  return { text: source.slice(start, at + 1), prose: { kind: "string", text } };
}

/** Returns the index after the `}` of a template's expression that starts at `start`. */
function endOfExpression(source: string, start: number): number {
  let depth = 1;
  let code = "{";
  let at = start;
  while (at < source.length && depth > 0) {
    const { text, prose } = readToken(source, at, code);
    if (text === "{") depth += 1;
    if (text === "}") depth -= 1;
    if (prose === undefined && text.trim() !== "") code = text;
    if (prose?.kind === "string") code = '"';
    at += text.length;
  }
  return at;
}
