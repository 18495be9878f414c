import { promisify } from "node:util";
import { constants, crc32, deflateRaw } from "node:zlib";

/**
 * A part of a gzip body (RFC 1952) that can follow any other part: whole deflate blocks (RFC 1951) that begin and end at a byte, and refer
 * to nothing before them. So clients that began at different times share what was compressed once.
 */
export interface GzipSegment {
  readonly bytes: Uint8Array;
  /** The CRC of the text. */
  readonly crc: number;
  /** The length of the text in bytes. */
  readonly length: number;
  /** Advances the CRC of what comes before by `length` bytes. */
  readonly shift: number;
}

/** No name, no time, an unknown system. */
const HEADER = new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);

/** An empty last block. */
const LAST_BLOCK = [3, 0];

/** The size of the header of a stored block. */
const STORED_BYTES = 5;

const deflate = promisify<Uint8Array, { finishFlush: number }, Buffer>(deflateRaw);

/** Compresses the parts as one text, on another thread. */
export async function compressSegment(parts: readonly Uint8Array[]): Promise<GzipSegment> {
  const [only] = parts;
  const text = parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
  const bytes = await deflate(text, { finishFlush: constants.Z_FULL_FLUSH });
  return { bytes, crc: crc32(text), length: text.length, shift: shiftBy(text.length) };
}

/** Returns a segment that holds a short text as it is. */
export function storeSegment(text: Uint8Array): GzipSegment {
  const { length } = text;
  const bytes = new Uint8Array(STORED_BYTES + length);
  const view = new DataView(bytes.buffer);
  view.setUint16(1, length, true);
  view.setUint16(3, length ^ 0xffff, true);
  bytes.set(text, STORED_BYTES);
  return { bytes, crc: crc32(text), length, shift: shiftBy(length) };
}

/** The gzip body of one client. */
export class GzipBody {
  #hasBegun = false;
  #crc = 0;
  #length = 0;

  /** Returns what a client is sent for the next segment. */
  add({ bytes, crc, length, shift }: GzipSegment): readonly Uint8Array[] {
    this.#crc = (multiply(shift, this.#crc) ^ crc) >>> 0;
    this.#length = (this.#length + length) >>> 0;
    if (this.#hasBegun) return [bytes];
    this.#hasBegun = true;
    return [HEADER, bytes];
  }

  end(): readonly Uint8Array[] {
    const last = new Uint8Array(LAST_BLOCK.length + 8);
    last.set(LAST_BLOCK);
    const view = new DataView(last.buffer);
    view.setUint32(2, this.#crc, true);
    view.setUint32(6, this.#length, true);
    return this.#hasBegun ? [last] : [HEADER, last];
  }
}

/** The generator polynomial of the CRC, with the lowest power in the highest bit, as in all numbers below. */
const POLYNOMIAL = 0xedb88320;

/** Multiplies two polynomials modulo {@link POLYNOMIAL}. */
function multiply(one: number, other: number): number {
  let product = 0;
  let power = other;
  for (let bit = 31; bit >= 0; bit--) {
    if ((one >>> bit) & 1) product ^= power;
    power = power & 1 ? (power >>> 1) ^ POLYNOMIAL : power >>> 1;
  }
  return product >>> 0;
}

/** `x` to the power of eight: one byte. */
const ONE_BYTE = 1 << 23;

/** Returns `x` to the power of eight times `length`. */
function shiftBy(length: number): number {
  let result = 2 ** 31;
  let square = ONE_BYTE;
  for (let rest = length; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = multiply(square, result);
    square = multiply(square, square);
  }
  return result;
}
