import type { TLSSocket } from "node:tls";
import type { ClientCertRules } from "./tls-options.ts";

/** Why a client is not served, after the handshake; undefined where it is. */
export function refusalOf(socket: TLSSocket, rules: ClientCertRules): string | undefined {
  const certificate = socket.getPeerCertificate();
  // The types say that there always is one.
  const isGiven = Boolean(certificate?.raw);
  if (!isGiven) return rules.requireClientCert ? "no certificate" : undefined;
  if (!socket.authorized) return String(socket.authorizationError ?? "not trusted");
  if (rules.clientNames.length === 0) return undefined;
  const names = [certificate.subject?.CN, ...alternativeNames(certificate.subjectaltname)].flat();
  return names.some((name) => name !== undefined && rules.clientNames.includes(name))
    ? undefined
    : "its name is not among --client-cert-allowed-names";
}

/** Of `DNS:a.example, URI:spiffe://cluster/ns/x, email:x`; a name with a comma in it is quoted, and none of ours. */
function alternativeNames(text = ""): string[] {
  const entries = text.split(", ").filter((entry) => /^(DNS|URI):/.test(entry));
  return entries.map((entry) => entry.slice(entry.indexOf(":") + 1));
}
