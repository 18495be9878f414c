import type { DescribedError } from "./events.ts";

const MAX_DETAIL_CHARS = 300;

/** The path of a URL of upstream holds the SDK key, and what is before an @ is a password. */
const URLS = /\b([a-z][a-z0-9+.-]*:\/\/)(?:[^\s/"'@]*@)?([^\s/"'?#)]*)[^\s"')]*/gi;

/** Paths of the HTTP API without a host before them. */
const API_PATHS = /\/v[12]\/[^\s"')]*/g;

/** Any text as long as a key, and no word: those of Statsig, whatever their prefix, passwords, tokens, base64. */
const LONG_TOKENS = /(?=[\w+=-]*\d)(?=[\w+=-]*[a-z])[\w+=-]{20,}/gi;
const PREFIXED_KEYS = /\b(secret|client|console)-[\w-]+/g;

/** Puts an error, or whatever else was thrown, into words that may be logged. */
export function describeError(error: unknown): DescribedError {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : `thrown: ${textOf(error)}`;
  const { code } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  const withCode = typeof code === "string" && !text.includes(code) ? `${text} (${code})` : text;
  return { detail: redacted(withCode), at: originOf(error) };
}

function textOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return typeof thrown;
  }
}

function redacted(text: string): string {
  const masked = text
    .replaceAll(/\s+/g, " ")
    .replaceAll(URLS, "$1$2/…")
    .replaceAll(API_PATHS, "/…")
    .replaceAll(PREFIXED_KEYS, "$1-…")
    .replaceAll(LONG_TOKENS, "…")
    .trim();
  return masked.length > MAX_DETAIL_CHARS ? `${masked.slice(0, MAX_DETAIL_CHARS)}…` : masked;
}

/** The first line of the stack that has a place: of its path only the end, since the rest is the machine's. */
function originOf(error: unknown): string | undefined {
  const { stack } = error instanceof Error ? error : {};
  if (typeof stack !== "string") return undefined;
  for (const line of stack.split("\n")) {
    const [, place] = /^\s+at (?:.*?\()?([^()\s]+:\d+:\d+)\)?$/.exec(line) ?? [];
    if (place !== undefined && !place.startsWith("node:")) return place.split("/").slice(-2).join("/");
  }
  return undefined;
}
