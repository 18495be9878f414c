/** Whether zstd decoders decode all frames of their input. */
export const DECODES_ALL_FRAMES: boolean = true;

/** Returns whether a Brotli decoder that has not failed, and has read this many bytes, has decoded all of them. It ignores what follows. */
export async function isWholeBrotli(bytes: Uint8Array<ArrayBuffer>, readBytes: number): Promise<boolean> {
  return readBytes === bytes.length;
}
