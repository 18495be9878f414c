/** Bytes in memory that threads share. Posting them to another thread passes a reference, and copies nothing. */
export type SharedBytes = Uint8Array<SharedArrayBuffer>;

export function allocateShared(length: number): SharedBytes {
  return new Uint8Array(new SharedArrayBuffer(length));
}

/** Returns a copy in shared memory of exactly the right size. */
export function toShared(bytes: Uint8Array): SharedBytes {
  const shared = allocateShared(bytes.length);
  shared.set(bytes);
  return shared;
}

/** As {@link toShared}, and frees the memory of `bytes`, which must not be used again. */
export function moveToShared(bytes: Uint8Array<ArrayBuffer>): SharedBytes {
  const shared = toShared(bytes);
  freeBytes(bytes);
  return shared;
}

/**
 * Frees the memory of `bytes` at once; they must not be used again. The garbage collector would do so late: it counts the
 * small object, not the buffer behind it. Does nothing to bytes that are a part of a larger buffer.
 */
export function freeBytes({ buffer, byteLength }: Uint8Array<ArrayBuffer>): void {
  if (buffer.byteLength === byteLength) buffer.transfer(0);
}
