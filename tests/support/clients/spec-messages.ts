/** The service's messages encoded by hand, so that a wrong name or number in a .proto file is found. */

/** A `ConfigSpecRequest`. `version` and `sinceTime` are not sent if undefined. */
export interface WireRequest {
  readonly sdkKey: string;
  readonly version?: number;
  readonly zstdDictId?: string;
  readonly sinceTime?: number | bigint;
}

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** Negative numbers are sent as their two's complement. */
function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

const tag = (field: number, type: number): number[] => varint(field * 8 + type);

export const numberField = (field: number, value: number | bigint): Buffer =>
  Buffer.from([...tag(field, VARINT), ...varint(value)]);

export function textField(field: number, value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([...tag(field, LENGTH_DELIMITED), ...varint(bytes.byteLength)]), bytes]);
}

export function encodeRequest({ sdkKey, version, zstdDictId, sinceTime }: WireRequest): Buffer {
  return Buffer.concat([
    textField(1, sdkKey),
    ...(version === undefined ? [] : [numberField(3, version)]),
    ...(zstdDictId === undefined ? [] : [textField(4, zstdDictId)]),
    ...(sinceTime === undefined ? [] : [numberField(12, sinceTime)]),
  ]);
}

/** The fields of a message by number: varints as numbers, length-delimited fields as text. */
export function decodeFields(message: Buffer): Record<number, number | string> {
  const fields: Record<number, number | string> = {};
  let at = 0;
  const readVarint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < message.byteLength) {
    const head = readVarint();
    const value = readVarint();
    const field = Math.floor(head / 8);
    if (head % 8 === VARINT) {
      fields[field] = value;
    } else {
      fields[field] = message.subarray(at, at + value).toString();
      at += value;
    }
  }
  return fields;
}
