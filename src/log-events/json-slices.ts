/**
 * The exact source text of the parts of a JSON document. Every function takes text that `JSON.parse` has
 * accepted, and only finds where things begin and end: numbers beyond 2^53, unknown fields and escapes survive.
 */

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACE = 0x20;

/** The values of an object's members with these names; of members with one name the last counts, as in `JSON.parse`. */
export function sliceMembers(text: string, names: readonly string[]): ReadonlyMap<string, string> {
  const slices = new Map<string, string>();
  let at = skipSpace(text, skipSpace(text, 0) + 1);
  while (text.charCodeAt(at) === QUOTE) {
    const keyEnd = endOfString(text, at);
    const name = nameOf(text.slice(at, keyEnd));
    // Behind the name comes a colon.
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = endOfValue(text, start);
    if (names.includes(name)) slices.set(name, text.slice(start, end));
    at = skipSpace(text, end);
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
  }
  return slices;
}

/** The elements of an array. */
export function sliceElements(array: string): string[] {
  const slices: string[] = [];
  let at = skipSpace(array, 1);
  while (array.charCodeAt(at) !== CLOSE_ARRAY) {
    const end = endOfValue(array, at);
    slices.push(array.slice(at, end));
    at = skipSpace(array, end);
    if (array.charCodeAt(at) === COMMA) at = skipSpace(array, at + 1);
  }
  return slices;
}

/** `"ev\u0065nts"` is the name `events`. */
function nameOf(source: string): string {
  return source.includes("\\") ? String(JSON.parse(source)) : source.slice(1, -1);
}

function endOfValue(text: string, start: number): number {
  switch (text.charCodeAt(start)) {
    case QUOTE:
      return endOfString(text, start);
    case OPEN_ARRAY:
    case OPEN_OBJECT:
      return endOfNested(text, start);
    default:
      return endOfWord(text, start);
  }
}

/** A loop and not a recursion: clients choose how deep it goes. */
function endOfNested(text: string, start: number): number {
  let depth = 0;
  for (let at = start; ; ) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        continue;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        depth++;
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        if (--depth === 0) return at + 1;
    }
    at++;
  }
}

/** A quote ends the string unless an odd number of backslashes stands before it. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    let before = quote - 1;
    while (text.charCodeAt(before) === BACKSLASH) before--;
    if ((quote - before) % 2 === 1) return quote + 1;
  }
}

/** A number, `true`, `false` or `null`. */
function endOfWord(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code <= SPACE || code === COMMA || code === CLOSE_ARRAY || code === CLOSE_OBJECT) break;
    at++;
  }
  return at;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (text.charCodeAt(at) <= SPACE) at++;
  return at;
}
