/** Whether zstd decoders decode all frames of their input. */
export const DECODES_ALL_FRAMES: boolean = false;

/**
 * Returns whether the bytes are a Brotli stream, whole and with nothing after it. Decodes them again: `node:zlib` of Deno takes the end of
 * its input for the end of the stream.
 */
export async function isWholeBrotli(bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  try {
    const decoded = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("brotli"));
    await decoded.pipeTo(new WritableStream());
    return true;
  } catch {
    return false;
  }
}
