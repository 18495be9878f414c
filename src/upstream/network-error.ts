const NOT_TRUSTED = "the certificate is not trusted, see NODE_EXTRA_CA_CERTS";

const WORDS: Readonly<Record<string, string>> = {
  ConnectionRefused: "connection refused",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection closed",
  ConnectionClosed: "connection closed",
  ENOTFOUND: "host name not found",
  FailedToOpenSocket: "no connection could be made",
  EPROTO: "TLS handshake failed",
  DEPTH_ZERO_SELF_SIGNED_CERT: NOT_TRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_TRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_TRUSTED,
  CERT_HAS_EXPIRED: "the certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "the certificate is for another host name",
  HTTP2Unsupported: "no HTTP/2 through a proxy",
};

/** A failed request in words. Made from the error's code alone: its message can hold the URL, and so the SDK key. */
export function describeNetworkError(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException;
  return WORDS[code ?? ""] ?? code ?? name ?? "unknown error";
}
