/** A name, and what it is. */
export type Row = readonly [left: string, right: string];

const INDENT = "  ";
const GAP = "  ";

/** A left side that is longer than this part of the width has a line of its own. */
const MAX_LEFT = 0.36;

/** Terminals report no width, or a useless one, in some containers. */
const MIN_WIDTH = 60;
const MAX_WIDTH = 120;
const DEFAULT_WIDTH = 100;

/** Returns the width at which text is wrapped, in characters. `columns` is that of the terminal, if there is one. */
export function chooseWidth(columns: number | undefined): number {
  return columns ? Math.min(Math.max(columns, MIN_WIDTH), MAX_WIDTH) : DEFAULT_WIDTH;
}

/** Formats rows as two columns with lines of at most `width` characters, unless a word is longer. */
export function formatRows(rows: readonly Row[], width: number): string {
  const longest = Math.max(...rows.map(([name]) => name.length));
  const left = Math.min(Math.floor(MAX_LEFT * width), longest);
  const start = INDENT.length + left + GAP.length;
  return rows
    .flatMap(([name, text]) => {
      const lines = wrap(text, width - start);
      const isLong = name.length > left;
      const [first = "", ...others] = isLong ? ["", ...lines] : lines;
      const named = isLong ? `${INDENT}${name}` : `${INDENT}${name.padEnd(left)}${GAP}${first}`;
      return [named.trimEnd(), ...others.map((line) => " ".repeat(start) + line)];
    })
    .join("\n");
}

/** Breaks a text at blanks, except those in a default. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.match(/\(Default: \S+\)\S*|\S+/g) ?? []) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
