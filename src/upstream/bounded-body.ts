/**
 * The whole body, or undefined (and no more is read) once it is longer than `maxBytes`. `received` is told the length of
 * each piece as it comes.
 */
export async function readBody(
  response: Response,
  maxBytes: number,
  received: (bytes: number) => void = () => {},
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const announced = Number(response.headers.get("content-length") ?? 0);
  if (announced > maxBytes) {
    await response.body?.cancel();
    return undefined;
  }
  // Into one buffer of the right length, if that was announced: pieces take the same memory again.
  let buffer = new Uint8Array(Math.max(0, announced) || FIRST_BYTES);
  let length = 0;
  for await (const chunk of response.body ?? []) {
    received(chunk.byteLength);
    const end = length + chunk.byteLength;
    if (end > maxBytes) return undefined;
    if (end > buffer.length) buffer = resized(buffer, Math.min(maxBytes, Math.max(end, 2 * buffer.length)));
    buffer.set(chunk, length);
    length = end;
  }
  return length === buffer.length ? buffer : resized(buffer.subarray(0, length), length);
}

/** Of a body of unknown length. */
const FIRST_BYTES = 16 * 1024;

function resized(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length);
  larger.set(bytes);
  return larger;
}
