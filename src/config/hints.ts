import { nearestName, type OptionSpec } from "./option.ts";

const QUOTES = /^["'`“”„‟«»‘’‚‛]+|["'`“”„‟«»‘’‚‛]+$/gu;

/** Returns the text without quotes around it, which shells remove and files of variables keep, and without typographic ones. */
export function withoutQuotes(text: string): string {
  return text.trim().replaceAll(QUOTES, "").trim();
}

/** Units of time in milliseconds. */
const TIMES_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  sec: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Units of size in kibibytes. */
const SIZES_KB: Readonly<Record<string, number>> = {
  k: 1,
  kb: 1,
  kib: 1,
  m: 1_024,
  mb: 1_024,
  mib: 1_024,
  mi: 1_024,
  g: 1_048_576,
  gb: 1_048_576,
  gib: 1_048_576,
  gi: 1_048_576,
};

/** Returns the units that values of an option may be written in, as numbers of its own unit. */
function unitsOf({ placeholder }: Pick<OptionSpec, "placeholder">) {
  const scaled = (units: Readonly<Record<string, number>>, own: number) => (unit: string) =>
    (units[unit.toLowerCase()] ?? Number.NaN) / own;
  if (placeholder === "MS") return scaled(TIMES_MS, 1);
  if (placeholder === "SECONDS") return scaled(TIMES_MS, 1_000);
  if (placeholder === "MB") return scaled(SIZES_KB, 1_024);
  if (placeholder === "KB") return scaled(SIZES_KB, 1);
  return () => Number.NaN;
}

/** Returns the whole number that a text likely means, such as 300 for `5m` seconds. Returns undefined if that is not clear or not allowed. */
export function meantNumber(option: OptionSpec, text: string): string | undefined {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = option;
  const plain = withoutQuotes(text.replace(/^\s*=/, "")).replaceAll(/(?<=\d)[,_' ](?=\d{3})/g, "");
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?(?:e\d+)?)\s*([a-z%]*)$/i.exec(plain) ?? [];
  const factor = unit === "" || unit === "%" ? 1 : unitsOf(option)(unit);
  const value = digits === "" ? Number.NaN : Number(digits) * factor;
  return Number.isInteger(value) && value >= min && value <= max ? String(value) : undefined;
}

/** Returns the allowed word that a text is, whatever its case. */
export function findWord<T extends string>(words: readonly T[], text: string): T | undefined {
  return words.find((word) => word === text) ?? words.find((word) => word === text.toLowerCase());
}

const BOOLEAN_WORDS: Readonly<Record<string, string>> = {
  ...{ yes: "true", y: "true", on: "true", enabled: "true", t: "true" },
  ...{ no: "false", n: "false", off: "false", disabled: "false", f: "false" },
};

/** Returns the allowed word that a text likely means. Returns undefined if that is not clear. */
export function meantWord(words: readonly string[], text: string): string | undefined {
  const plain = withoutQuotes(text).toLowerCase();
  const meant = words.includes(plain) ? plain : (BOOLEAN_WORDS[plain] ?? nearestName(plain, words));
  return meant !== undefined && words.includes(meant) ? meant : undefined;
}

/** Returns `true` or `false` for a flag or a variable that is on or off. Returns undefined if the text is neither. */
export function parseSwitch(text: string): boolean | undefined {
  if (text === "1" || text.toLowerCase() === "true") return true;
  if (text === "0" || text.toLowerCase() === "false") return false;
  return undefined;
}
