const WORDS: Readonly<Record<string, string>> = {
  ConnectionRefused: "connection refused",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection closed",
  ConnectionClosed: "connection closed",
  ENOTFOUND: "host name not found",
  FailedToOpenSocket: "no connection could be made",
  EPROTO: "TLS handshake failed",
  HTTP2Unsupported: "no HTTP/2 through a proxy",
};

/** A failed request in words. Made from the error's code alone: its message can hold the URL, and so the SDK key. */
export function describeNetworkError(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException;
  return WORDS[code ?? ""] ?? code ?? name ?? "unknown error";
}
