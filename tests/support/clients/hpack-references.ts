/** How a header block uses the dynamic table. */
export interface TableUse {
  /** Headers that the peer must store. */
  readonly stored: number;
  /** References to entries of the dynamic table. */
  readonly references: number;
  /** Headers and size updates in total. */
  readonly fields: number;
}

const STATIC_ENTRIES = 61;

/**
 * Parses a header block (RFC 7541) without decoding texts. Throws if the block ends within a header. It shares no code with
 * the code it checks.
 */
export function tableUseOf(block: Buffer): TableUse {
  let [at, stored, references, fields] = [0, 0, 0, 0];
  const integer = (prefixBits: number): number => {
    const mask = 2 ** prefixBits - 1;
    let value = block.readUInt8(at++) & mask;
    if (value < mask) return value;
    for (let shift = 0; ; shift += 7) {
      const byte = block.readUInt8(at++);
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const skipText = () => {
    const length = integer(7);
    at += length;
  };
  const literal = (prefixBits: number) => {
    const name = integer(prefixBits);
    if (name > STATIC_ENTRIES) references++;
    if (name === 0) skipText();
    skipText();
  };
  for (; at < block.byteLength; fields++) {
    const first = block.readUInt8(at);
    if (first >= 0x80) {
      if (integer(7) > STATIC_ENTRIES) references++;
    } else if (first >= 0x40) {
      stored++;
      literal(6);
    } else if (first >= 0x20) {
      integer(5);
    } else {
      literal(4);
    }
  }
  if (at > block.byteLength) throw new Error("the header block ends in the middle of a header");
  return { stored, references, fields };
}
