/** The first byte of a TLS handshake. */
const TLS_RECORD = 0x16;
const LETTER_P = 0x50;
const LETTER_R = 0x52;

/** What a client that connects to the wrong port begins with, as text. No request can begin with it. */
const BEGINNINGS: readonly (readonly [string, string])[] = [
  ["PRI * HTTP/2", "the client sent HTTP/2, as gRPC does, to a port for HTTP/1.1"],
  [
    "PROXY ",
    "the client sent the PROXY protocol, which the relay does not have: turn it off in the load balancer",
  ],
];

const LONGEST_BYTES = 16;

/** Returns in words which other protocol the first bytes of a connection belong to, or undefined if they may be HTTP/1.1. */
export function findOtherProtocol(bytes: Uint8Array): string | undefined {
  if (bytes[0] === TLS_RECORD) return "the client sent TLS to a port for HTTP without TLS: it must use http";
  // Quick for requests, which only rarely begin with these letters.
  if (bytes[0] !== LETTER_P || bytes[1] !== LETTER_R) return undefined;
  const text = String.fromCharCode(...bytes.subarray(0, LONGEST_BYTES));
  return BEGINNINGS.find(([beginning]) => text.startsWith(beginning))?.[1];
}
