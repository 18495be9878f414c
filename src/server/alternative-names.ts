/** One value of DER (X.690): a tag, and its content. */
interface DerValue {
  readonly tag: number;
  readonly content: Uint8Array;
}

/** Tags: SEQUENCE, OCTET STRING, and the field `extensions` of a certificate (RFC 5280, 4.1). */
const SEQUENCE = 0x30;
const OCTET_STRING = 0x04;
const EXTENSIONS = 0xa3;

/** The identifier of subjectAltName, 2.5.29.17. */
const SUBJECT_ALT_NAME = "551d11";

/** Names of these kinds (RFC 5280, 4.2.1.6): dNSName and uniformResourceIdentifier. */
const DNS_NAME = 0x82;
const URI = 0x86;

/**
 * Returns the DNS and URI names in the subjectAltName of a certificate, in DER. The texts that runtimes make of that extension cannot be
 * trusted: Deno does not quote a name that contains a comma, so that one name could be taken for several. Returns no names if the
 * certificate is malformed.
 */
export function readAlternativeNames(certificate: Uint8Array): readonly string[] {
  const [signed] = readValues(unwrap(readValues(certificate)[0], SEQUENCE));
  const extensions = readValues(unwrap(signed, SEQUENCE)).find(({ tag }) => tag === EXTENSIONS);
  const [list] = readValues(extensions?.content ?? EMPTY);
  return readValues(unwrap(list, SEQUENCE)).flatMap((extension) => {
    const fields = readValues(unwrap(extension, SEQUENCE));
    if (Buffer.from(fields[0]?.content ?? EMPTY).toString("hex") !== SUBJECT_ALT_NAME) return [];
    const [names] = readValues(unwrap(fields.at(-1), OCTET_STRING));
    return readValues(unwrap(names, SEQUENCE))
      .filter(({ tag }) => tag === DNS_NAME || tag === URI)
      .map(({ content }) => Buffer.from(content).toString("latin1"));
  });
}

const EMPTY = new Uint8Array(0);

function unwrap(value: DerValue | undefined, tag: number): Uint8Array {
  return value?.tag === tag ? value.content : EMPTY;
}

/** Reads values that follow each other. Stops at one that is malformed. */
function readValues(bytes: Uint8Array): readonly DerValue[] {
  const values: DerValue[] = [];
  for (let at = 0; at + 1 < bytes.length; ) {
    const first = bytes[at + 1] ?? 0;
    if (first === INDEFINITE) break;
    // Beyond that, the low bits are the number of bytes of the length.
    const lengthBytes = first < INDEFINITE ? 0 : first & 0x7f;
    if (lengthBytes > MAX_LENGTH_BYTES) break;
    const start = at + 2 + lengthBytes;
    const length = bytes.subarray(at + 2, start).reduce((sum, byte) => 256 * sum + byte, 0);
    const end = start + (lengthBytes === 0 ? first : length);
    if (end > bytes.length) break;
    values.push({ tag: bytes[at] ?? 0, content: bytes.subarray(start, end) });
    at = end;
  }
  return values;
}

/** A length that BER has and DER does not. */
const INDEFINITE = 0x80;

/** A certificate is much shorter than 16 MB. */
const MAX_LENGTH_BYTES = 3;
