import { OTHER } from "./family.ts";
import type { MetricRow } from "./metric-row.ts";
import type { Tags } from "./series.ts";

/** A value that is read when somebody looks. */
export type Reading = readonly [tags: Tags, value: number];

/** No more than `maxSeries`: the rest is one, told as `other`. */
export function withinBound(
  row: MetricRow,
  readings: readonly Reading[],
  maxSeries: number,
): readonly Reading[] {
  const known = readings.filter(([, value]) => Number.isFinite(value));
  if (known.length <= maxSeries) return known;
  const rest = known.slice(maxSeries - 1).map(([, value]) => value);
  const allOther = Object.fromEntries(row.tags.map((tag) => [tag, OTHER]));
  return [...known.slice(0, maxSeries - 1), [allOther, oneFor(rest, row.rest)]];
}

function oneFor(values: readonly number[], rest: MetricRow["rest"]): number {
  switch (rest) {
    case "smallest":
      return values.reduce((a, b) => Math.min(a, b));
    case "largest":
      return values.reduce((a, b) => Math.max(a, b));
    case "sum":
    case undefined:
      return values.reduce((a, b) => a + b);
  }
}
