import type { Spread } from "./statistics.ts";

/** A table whose first column is text and whose other columns are numbers. */
export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function formatTable({ title, head, rows }: Table): string {
  const widths = head.map((heading, at) =>
    Math.max(heading.length, ...rows.map((row) => row[at]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    widths
      .map((width, at) => (at === 0 ? (cells[at] ?? "").padEnd(width) : (cells[at] ?? "").padStart(width)))
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  return [title, "", line(head), rule, ...rows.map(line)].join("\n");
}

export const count = (value: number): string => Math.round(value).toLocaleString("en-US");
export const ms = (value: number): string => (value < 10 ? value.toFixed(2) : value.toFixed(1));
export const megabytes = (bytes: number): string => (bytes / 1_000_000).toFixed(1);
export const ratio = (value: number): string => value.toFixed(2);
export const spread = (value: Spread, format: (value: number) => string): string =>
  `${format(value.median)} (${format(value.min)}-${format(value.max)})`;
