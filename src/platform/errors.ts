/** Exit codes of the process. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/**
 * What the user must change before the relay can start or run a command. The message is one line that names what was given and
 * what was expected; it is printed without a stack trace.
 */
export class UserError extends Error {
  /** Of the process. */
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
 * overrides messages where a caller knows more.
 */
export function describeErrno(error: unknown, specific: Readonly<Record<string, string>> = {}): string {
  const code = String((error as NodeJS.ErrnoException | undefined)?.code ?? "");
  return specific[code] ?? ERRNO_MESSAGES[code] ?? (code || "unknown error");
}
