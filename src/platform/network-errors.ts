import { describeErrno } from "./errors.ts";

const NOT_TRUSTED = "the certificate is not trusted, see NODE_EXTRA_CA_CERTS";

/** Codes of Bun and of TLS. */
const NETWORK_ERRORS: Readonly<Record<string, string>> = {
  ConnectionRefused: "connection refused",
  ConnectionClosed: "connection closed",
  FailedToOpenSocket: "no connection could be made",
  EPROTO: "TLS handshake failed",
  DEPTH_ZERO_SELF_SIGNED_CERT: NOT_TRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: NOT_TRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NOT_TRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NOT_TRUSTED,
  CERT_HAS_EXPIRED: "the certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "the certificate is for another host name",
  HTTP2Unsupported: "HTTP/2 is not supported through a proxy",
};

/** Describes a failed request by its error code alone: the message of the error may contain the URL, and so an SDK key or a signature. */
export function describeNetworkError(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException;
  return code === undefined ? (name ?? "unknown error") : describeErrno(error, NETWORK_ERRORS);
}
