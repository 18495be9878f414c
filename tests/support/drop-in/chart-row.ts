import type { DropInRow } from "./row.ts";

export type Values = Readonly<Record<string, unknown>>;

/** Values of the original's chart, and what the chart renders from them. */
export interface ChartRow extends DropInRow {
  readonly values?: Values;
  /** The default is what Helm assumes. */
  readonly kubernetes?: string;
  /** Kind, and the path of a field; a number is an index. */
  readonly at: readonly [kind: string, ...path: (string | number)[]];
  /** What the field is; undefined if it is absent. */
  readonly is: unknown;
}

/** Values that Helm rejects. */
export interface RejectedRow extends DropInRow {
  readonly values?: Values;
  readonly kubernetes?: string;
  readonly reason: string;
}

/** The paths of a Deployment's pod and its container. */
export const POD = ["Deployment", "spec", "template", "spec"] as const;
export const CONTAINER = [...POD, "containers", 0] as const;

export const SAME = { ours: "same" } as const;
export const differs = (does: string, subject: string) => ({ ours: { does, subject } });
