import type { TLSSocket } from "node:tls";
import { readAlternativeNames } from "./alternative-names.ts";
import type { TlsSettings } from "./certificates.ts";

/** Why a client was refused, in words for the operator of the relay or of the client. */
export interface TlsRefusal {
  /** A sentence without anything that the client chose. */
  readonly reason: string;
  /** The names in the certificate of the client, if they are the reason. Its authority has signed them. */
  readonly names?: string;
}

const DISTRUSTS = "the client rejects the certificate of the relay: it does not trust its authority";
const NOTHING_IN_COMMON =
  "the client and the relay have no cipher suite, curve or signature algorithm in common";
const NOT_TLS = "the client sent no TLS, but perhaps plaintext HTTP/2, gRPC or the PROXY protocol";
const PLAINTEXT_HTTP = "the client sent plaintext HTTP to a port with TLS: it must use https";
const NO_CERTIFICATE = "the client sent no certificate, which --enforce-mtls requires";

/** Sentences by the reason in the code of an error of the TLS library. */
const HANDSHAKE_REASONS: readonly (readonly [RegExp, string])[] = [
  [/HTTP_REQUEST|HTTPS_PROXY_REQUEST/, PLAINTEXT_HTTP],
  [/WRONG_VERSION_NUMBER|UNEXPECTED_RECORD|UNEXPECTED_MESSAGE|HTTP2_PREFACE/, NOT_TLS],
  [/PEER_DID_NOT_RETURN_A_CERTIFICATE/, NO_CERTIFICATE],
  [
    /NO_SHARED|WRONG_CURVE|NO_COMMON_SIGNATURE|NO_CIPHERS|UNKNOWN_CIPHER|HANDSHAKE_FAILURE/,
    NOTHING_IN_COMMON,
  ],
  [/ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)/, DISTRUSTS],
  // Over TLS 1.3, OpenSSL sends this alert unencrypted, which the library of the relay cannot read.
  [/BAD_PACKET_LENGTH/, DISTRUSTS],
  [
    /ALERT_CERTIFICATE_EXPIRED/,
    "the client rejects the certificate of the relay: it has expired by its clock",
  ],
];

/** Sentences by the code or message with which the TLS library rejects a certificate of a client. */
const CERTIFICATE_REASONS: readonly (readonly [RegExp, string])[] = [
  [/expired/i, "the certificate of the client has expired"],
  [/not.yet.valid/i, "the certificate of the client is not valid yet, or a clock is wrong"],
  [/purpose/i, "the certificate of the client is not for clients (extended key usage)"],
  [/revoked/i, "the certificate of the client is revoked"],
  [
    /verify|issuer|self.signed|chain|trusted|CERT_|certificate/i,
    "the certificate of the client is not from an authority in --x509-client-cert-path",
  ],
];

/** Returns why a handshake failed; undefined if the client only ended the connection, as probes of load balancers do. */
export function explainHandshake(
  error: NodeJS.ErrnoException,
  settings: Pick<TlsSettings, "minVersion">,
  protocols: string,
): TlsRefusal | undefined {
  const { code = "", message } = error;
  if (code === "ECONNRESET") return undefined;
  const text = `${code} ${message}`;
  if (/UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION|VERSION_TOO_LOW/.test(text)) {
    return {
      reason: `the client offers no version of TLS from ${settings.minVersion} on (--tls-min-version)`,
    };
  }
  if (/NO_APPLICATION_PROTOCOL/.test(text))
    return { reason: `the client offers no protocol of this port by ALPN, which has ${protocols}` };
  const known = findReason(HANDSHAKE_REASONS, text);
  if (known !== undefined) return { reason: known };
  // The library has a word for it, such as ERR_SSL_DECODE_ERROR.
  const [, word] = /^ERR_SSL_([A-Z0-9_]{1,60})$/.exec(code) ?? [];
  if (word !== undefined)
    return { reason: `the TLS library reports: ${word.toLowerCase().replaceAll("_", " ")}` };
  return { reason: findReason(CERTIFICATE_REASONS, text) ?? "for an unknown reason" };
}

/** Returns why a client is refused after the handshake, or undefined if it is accepted. */
export function findRefusal(
  socket: TLSSocket,
  { requireClientCert, clientNames }: Pick<TlsSettings, "requireClientCert" | "clientNames">,
): TlsRefusal | undefined {
  const certificate = socket.getPeerCertificate();
  // The types claim that there always is a certificate.
  const isGiven = Boolean(certificate?.raw);
  if (!isGiven) return requireClientCert ? { reason: NO_CERTIFICATE } : undefined;
  if (!socket.authorized) {
    const problem = String(socket.authorizationError ?? "not trusted");
    return {
      reason: findReason(CERTIFICATE_REASONS, problem) ?? "the certificate of the client is not trusted",
    };
  }
  if (clientNames.length === 0) return undefined;
  const names = [certificate.subject?.CN, ...readAlternativeNames(certificate.raw)]
    .flat()
    .filter((name) => name !== undefined);
  if (names.some((name) => clientNames.includes(name))) return undefined;
  return {
    reason: "no name in the certificate of the client is in --client-cert-allowed-names",
    names: [...new Set(names)].join(", ").slice(0, MAX_NAMES_CHARS),
  };
}

const MAX_NAMES_CHARS = 200;

function findReason(reasons: readonly (readonly [RegExp, string])[], text: string): string | undefined {
  return reasons.find(([pattern]) => pattern.test(text))?.[1];
}
