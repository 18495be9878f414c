import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { isOnDeno } from "../relay/runtime.ts";

export const BOMB_BYTES = 250_000_000;

const PIECE = Buffer.alloc(1_000_000, "x");

/** Chunks that together are a config spec of {@link BOMB_BYTES}. */
function piecesOf(lcut: number): readonly Buffer[] {
  const head = Buffer.from(`{"has_updates":true,"time":${lcut},"filler":"`);
  const end = Buffer.from('"}');
  const whole = Array.from({ length: BOMB_BYTES / PIECE.length - 1 }, () => PIECE);
  return [head, ...whole, PIECE.subarray(head.length + end.length), end];
}

/** A gzip body may have several members, and a zstd body several frames, so each distinct chunk is compressed once. */
function joined(lcut: number, compress: (piece: Buffer) => Buffer): Buffer {
  const piece = compress(PIECE);
  return Buffer.concat(piecesOf(lcut).map((each) => (each === PIECE ? piece : compress(each))));
}

const br = (lcut: number): Buffer =>
  brotliCompressSync(Buffer.concat(piecesOf(lcut)), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });

/** On Deno, a body of several frames is refused for that alone. */
const zstd = (lcut: number): Buffer =>
  isOnDeno
    ? zstdCompressSync(Buffer.concat(piecesOf(lcut)))
    : joined(lcut, (piece) => zstdCompressSync(piece));

/** Valid bodies of a few hundred KB, except for their decoded size. By Content-Encoding. */
export const BOMBS = {
  gzip: (lcut: number) => joined(lcut, (piece) => gzipSync(piece, { level: 9 })),
  zstd,
  deflate: (lcut: number) => deflateSync(Buffer.concat(piecesOf(lcut)), { level: 9 }),
  br,
  "statsig-br": br,
} as const;

export type BombCoding = keyof typeof BOMBS;

export const BOMB_CODINGS = Object.keys(BOMBS) as readonly BombCoding[];
