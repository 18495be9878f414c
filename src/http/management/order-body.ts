import { parseLcut } from "../../specs/payload/payload.ts";
import type { RequestFields } from "./request-fields.ts";

/** What an operator asks for. */
export interface OrderBody {
  /** The SDK key, whole or masked. */
  readonly key: string;
  readonly to: number | undefined;
  /** Empty if none is given. */
  readonly reason: string;
  readonly isDryRun: boolean;
}

/** What is wrong with a request, as a sentence. */
export class BadOrder extends Error {}

const REASON = /^\P{C}{0,200}$/u;

/**
 * Reads the fields of a request that changes what is served. Throws {@link BadOrder}; unknown fields are refused, since a misspelt
 * `dry_run` would be ignored.
 */
export function readOrder(fields: RequestFields | undefined, allowed: readonly string[]): OrderBody {
  const expected = formatExpected(allowed);
  if (fields === undefined)
    throw new BadOrder(`The body is neither a JSON object nor a form with each field once (${expected})`);
  const unknown = Object.keys(fields).find((name) => !allowed.includes(name));
  if (unknown !== undefined) throw unknownField(unknown, allowed);
  const { key = "", to, reason = "", dry_run: isDryRun = "false" } = fields;
  if (key === "") throw new BadOrder(`The field "key" is missing: an SDK key, whole or masked (${expected})`);
  if (!REASON.test(reason)) throw new BadOrder('"reason" is not a text of at most 200 printable characters');
  if (isDryRun !== "true" && isDryRun !== "false") throw new BadOrder('"dry_run" is neither true nor false');
  const version = to === undefined ? undefined : readVersion("to", to);
  return { key, to: version, reason, isDryRun: isDryRun === "true" };
}

export function unknownField(name: string, allowed: readonly string[]): BadOrder {
  return new BadOrder(`Unknown field ${JSON.stringify(name.slice(0, 50))} (${formatExpected(allowed)})`);
}

const formatExpected = (allowed: readonly string[]): string =>
  `expected ${allowed.map((each) => `"${each}"`).join(", ")}`;

/** Reads an lcut. Throws {@link BadOrder}. */
export function readVersion(name: string, text: string): number {
  const lcut = /^\d{1,16}$/.test(text) ? parseLcut(Number(text)) : undefined;
  if (lcut === undefined)
    throw new BadOrder(`"${name}" is not a version: its lcut, in ms since the Unix epoch`);
  return lcut;
}
