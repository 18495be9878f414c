import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";

const MAGIC_64 = 0xfeedfacf;
const CPU_X64 = 0x01000007;
const HEADER_BYTES = 32;
const LC_SEGMENT_64 = 0x19;
const LC_CODE_SIGNATURE = 0x1d;
const SIGNATURE_COMMAND_BYTES = 16;

/**
 * Removes the signature of an executable for Intel Macs, in place. Bun keeps the signature of its own executable, which is
 * invalid once code has been added, and macOS kills a process with an invalid signature; without a signature it starts.
 * (On arm64, which requires a signature, Bun signs again.) Mach-O's loader.h defines the layout.
 */
export function removeStaleSignature(path: string): void {
  const file = openSync(path, "r+");
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    readSync(file, header, 0, HEADER_BYTES, 0);
    if (header.readUInt32LE(0) !== MAGIC_64 || header.readUInt32LE(4) !== CPU_X64) return;
    const count = header.readUInt32LE(16);
    const commands = Buffer.alloc(header.readUInt32LE(20));
    readSync(file, commands, 0, commands.length, HEADER_BYTES);
    const { signature, linkEdit } = findSignature(commands, count);
    if (signature === undefined || linkEdit === undefined) return;
    if (signature + SIGNATURE_COMMAND_BYTES !== commands.length) {
      throw new Error(
        "the signature is not the last load command, as scripts/binary/macho-signature.ts expects",
      );
    }
    const dataOffset = commands.readUInt32LE(signature + 8);
    const linkEditOffset = commands.readBigUInt64LE(linkEdit + 40);
    commands.writeBigUInt64LE(BigInt(dataOffset) - linkEditOffset, linkEdit + 48);
    commands.fill(0, signature);
    header.writeUInt32LE(count - 1, 16);
    header.writeUInt32LE(commands.length - SIGNATURE_COMMAND_BYTES, 20);
    writeSync(file, header, 0, HEADER_BYTES, 0);
    writeSync(file, commands, 0, commands.length, HEADER_BYTES);
    ftruncateSync(file, dataOffset);
  } finally {
    closeSync(file);
  }
}

/** Returns the offsets of the two load commands that describe the signature. */
function findSignature(commands: Buffer, count: number) {
  let signature: number | undefined;
  let linkEdit: number | undefined;
  for (let index = 0, at = 0; index < count; index++, at += commands.readUInt32LE(at + 4)) {
    const kind = commands.readUInt32LE(at);
    if (kind === LC_CODE_SIGNATURE) signature = at;
    // The segment's name follows the command's kind and size, of 4 bytes each.
    if (kind === LC_SEGMENT_64 && commands.toString("latin1", at + 8, at + 18) === "__LINKEDIT")
      linkEdit = at;
  }
  return { signature, linkEdit };
}
