import { constants, crc32, zstdCompressSync, zstdDecompressSync } from "node:zlib";

/** As a row has them: compressed, unless that makes them larger. */
export interface SpoolBody {
  readonly zstd: boolean;
  readonly body: Uint8Array;
}

/** The level that costs the least: 10 events come to a sixth in 6 µs, 1,000 to a twentieth in 120 µs. */
const FASTEST = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** The length of each (in UTF-16 units) on the first line, then all of them with nothing in between. */
export function encodeEvents(events: readonly string[]): SpoolBody {
  const plain = Buffer.from(`${events.map(({ length }) => length).join(",")}\n${events.join("")}`);
  const compressed = zstdCompressSync(plain, FASTEST);
  const zstd = compressed.length < plain.length;
  return { zstd, body: zstd ? compressed : plain };
}

export function decodeEvents({ zstd, body }: SpoolBody): string[] {
  const plain = zstd ? zstdDecompressSync(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const text = plain.toString();
  const start = text.indexOf("\n");
  let at = start + 1;
  const events: string[] = [];
  for (const length of text.slice(0, start).split(",")) {
    events.push(text.slice(at, at + Number(length)));
    at += Number(length);
  }
  return events;
}

/** A checksum of all that is in a row: SQLite has none. */
export function sealOf(body: Uint8Array, ...facts: readonly number[]): number {
  return crc32(body, crc32(facts.join(",")));
}
