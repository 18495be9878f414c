/** Exit codes of the process. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/**
 * What the user must change before the relay can start or run a command. The message is one line that names what was given and
 * what was expected; it is printed without a stack trace.
 */
export class UserError extends Error {
  /** The exit code of the process. */
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

const ERRNO_MESSAGES: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "no such address on this machine",
  EAI_AGAIN: "host name lookup failed, try again later",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection closed",
  EDQUOT: "disk quota exceeded",
  EHOSTUNREACH: "no route to host",
  EISDIR: "is a directory",
  ELOOP: "symbolic links that lead to each other",
  ENETUNREACH: "network unreachable",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory",
  ENOTFOUND: "host name not found",
  EPERM: "permission denied",
  EPIPE: "connection closed",
  EROFS: "read-only file system",
  ETIMEDOUT: "connection timed out",
};

/**
 * Returns the message for a system error by its code, never its own message, which may hold a URL with a secret. `specific`
 * overrides messages where a caller knows more. Without a message for the code, returns the code; without a code, the name of the
 * error.
 */
export function describeErrno(error: unknown, specific: Readonly<Record<string, string>> = {}): string {
  const { code: given, name } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
  const code = String(given ?? "");
  return specific[code] ?? ERRNO_MESSAGES[code] ?? (code || String(name ?? "unknown error"));
}

/** An unexpected error in a form that may be logged: without SDK keys, paths of URLs and passwords. */
export interface DescribedError {
  /** One line: the name of the error and its message. */
  readonly detail: string;
  /** `folder/file:line:column` of the code that threw, if the stack says. */
  readonly at: string | undefined;
}

const MAX_DETAIL_CHARS = 300;

/** The path of an upstream URL contains the SDK key, and the user info before an @ may contain a password. */
const URLS = /\b([a-z][a-z0-9+.-]*:\/\/)(?:[^\s/"'@]*@)?([^\s/"'?#)]*)[^\s"')]*/gi;

/** Paths of the HTTP API without a host. */
const API_PATHS = /\/v[12]\/[^\s"')]*/g;

/** Keys may have dots and colons inside; at the end, they belong to the sentence. */
const TOKENS = /[\w+=-]+(?:[.:]+[\w+=-]+)*/g;

/** A part that is as long as a key and contains digits: of SDK keys with any prefix, passwords, base64. Names of hosts have shorter parts. */
const LONG_PART = /(?=[\w+=-]*\d)(?=[\w+=-]*[a-z])[\w+=-]{20,}/i;
const PREFIXED_KEYS = /\b(secret|client|console)-(?:[.:]*[\w-])+/g;

/** The message of a Worker's error event has several lines with source code; returns the one that says what happened. */
export function firstErrorLine(message: string): string {
  const lines = message.split("\n").map((line) => line.trim());
  return lines.find((line) => /^(error|[A-Z]\w*Error): /.test(line)) ?? lines[0] ?? "";
}

/** Describes an error, or any other thrown value, without secrets. */
export function describeError(error: unknown): DescribedError {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : `thrown: ${toText(error)}`;
  const { code } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  const withCode = typeof code === "string" && !text.includes(code) ? `${text} (${code})` : text;
  return { detail: describeText(withCode), at: findOrigin(error) };
}

function toText(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return typeof thrown;
  }
}

/** Returns the text as one line without secrets, for text that the relay has not made itself. */
export function describeText(text: string): string {
  const masked = text
    .replaceAll(/\s+/g, " ")
    .replaceAll(URLS, "$1$2/…")
    .replaceAll(API_PATHS, "/…")
    .replaceAll(PREFIXED_KEYS, "$1-…")
    .replaceAll(TOKENS, (token) => (LONG_PART.test(token) ? "…" : token))
    .trim();
  return masked.length > MAX_DETAIL_CHARS ? `${masked.slice(0, MAX_DETAIL_CHARS)}…` : masked;
}

/** Returns the first code position of the stack. Only the last folder and the file: the rest belongs to the build machine. */
function findOrigin(error: unknown): string | undefined {
  const { stack } = error instanceof Error ? error : {};
  if (typeof stack !== "string") return undefined;
  for (const line of stack.split("\n")) {
    const [, place] = /^\s+at (?:.*?\()?([^()\s]+:\d+:\d+)\)?$/.exec(line) ?? [];
    if (place !== undefined && !place.startsWith("node:")) return place.split("/").slice(-2).join("/");
  }
  return undefined;
}
