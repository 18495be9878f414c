/**
 * Whether these are whole zstd frames and nothing else, by the lengths of their blocks (RFC 8878, 3.1.1). Bun's
 * zstdDecompress takes the end of the input for the end of a frame.
 */
export function isWholeZstd(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  do at = endOfZstdFrame(view, at);
  while (at < view.byteLength);
  return at === view.byteLength;
}

/** NaN where it is no frame; throws a RangeError where the frame is cut short. */
function endOfZstdFrame(view: DataView, start: number): number {
  const magic = view.getUint32(start, true);
  if (magic >>> 4 === 0x184d2a5) return start + 8 + view.getUint32(start + 4, true);
  if (magic !== 0xfd2fb528) return Number.NaN;
  const descriptor = view.getUint8(start + 4);
  const isSingleSegment = (descriptor >> 5) & 1;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSizeBytes = [isSingleSegment, 2, 4, 8][descriptor >> 6] ?? 0;
  let at = start + 5 + (1 - isSingleSegment) + dictionaryIdBytes + contentSizeBytes;
  for (let isLast = false; !isLast; ) {
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const isRepeatedByte = ((header >> 1) & 3) === 1;
    at += 3 + (isRepeatedByte ? 1 : header >> 3);
    isLast = (header & 1) === 1;
  }
  const hasChecksum = (descriptor & 4) !== 0;
  return at + (hasChecksum ? 4 : 0);
}
