import { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Longer chains are not followed. */
const MAX_CHAIN = 8;

/** Returns whether the certificate of a client is from one of these authorities, in PEM, by the chain that the client sent. */
export function isFromAuthority(socket: TLSSocket, ca: string): boolean {
  const authorities = (ca.match(PEM_BLOCK) ?? []).map((block) => new X509Certificate(block));
  const [leaf, ...sent] = listChain(socket.getPeerCertificate(true));
  let certificate = leaf;
  for (let depth = 0; certificate !== undefined && depth < MAX_CHAIN; depth++) {
    if (authorities.some((authority) => isIssuedBy(certificate, authority))) return true;
    certificate = sent.find((other) => other !== certificate && other.ca && isIssuedBy(certificate, other));
  }
  return false;
}

function listChain(leaf: DetailedPeerCertificate): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = leaf;
  while (next?.raw !== undefined && chain.length < MAX_CHAIN) {
    chain.push(new X509Certificate(next.raw));
    // The last one names itself.
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
  }
  return chain;
}

function isIssuedBy(certificate: X509Certificate | undefined, issuer: X509Certificate): boolean {
  return certificate?.checkIssued(issuer) === true && certificate.verify(issuer.publicKey);
}
