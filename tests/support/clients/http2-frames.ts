/** HTTP/2 frames byte by byte (RFC 9113), for clients that no library could be. */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const ACK = 1;
export const END_STREAM = 1;
export const END_HEADERS = 4;

export const CANCEL = 8;
export const REFUSED_STREAM = 7;
export const ENHANCE_YOUR_CALM = 11;

export const MAX_CONCURRENT_STREAMS = 3;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

const HEAD_BYTES = 9;

export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = new Uint8Array(0),
): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** A payload of one 32-bit number: an error code, a window's increment. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Returns the complete frames at the start of `bytes`. */
export function readFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + HEAD_BYTES <= bytes.byteLength; ) {
    const end = at + HEAD_BYTES + bytes.readUIntBE(at, 3);
    if (end > bytes.byteLength) break;
    frames.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + HEAD_BYTES, end),
    });
    at = end;
  }
  return frames;
}

/** A length below 2^14 as HPACK encodes it before a text without Huffman coding. */
function hpackLength(length: number): Buffer {
  if (length < 127) return Buffer.from([length]);
  const rest = length - 127;
  return Buffer.from(rest < 128 ? [127, rest] : [127, (rest & 127) | 128, rest >> 7]);
}

const hpackText = (text: string): Buffer =>
  Buffer.concat([hpackLength(Buffer.byteLength(text)), Buffer.from(text)]);

/** HPACK: a literal header that the peer must not store. */
export const literalHeader = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0]), hpackText(name), hpackText(value)]);

/** HPACK: a literal header that the peer must store, as number 62. */
export const rememberedHeader = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0x40]), hpackText(name), hpackText(value)]);

/** HPACK: the header stored last, `times` over, one byte each. */
export const repeatedHeader = (times: number): Buffer => Buffer.alloc(times, 0x80 | 62);

/** The pseudo-headers of a request, and the headers that every gRPC call sends. */
export function requestHeaders(
  method: string,
  path: string,
  more: Readonly<Record<string, string>> = {},
): Buffer {
  const all = { ":method": method, ":scheme": "http", ":path": path, ":authority": "localhost", ...more };
  return Buffer.concat(Object.entries(all).map(([name, value]) => literalHeader(name, value)));
}

/** The connection preface. */
export const OPENING = Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0)]);
