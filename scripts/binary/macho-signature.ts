import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";

const MAGIC_64 = 0xfeedfacf;
const CPU_X64 = 0x01000007;
const HEADER_BYTES = 32;
const LC_SEGMENT_64 = 0x19;
const LC_CODE_SIGNATURE = 0x1d;
const SIGNATURE_COMMAND_BYTES = 16;

/**
 * Takes the signature out of an executable for Intel Macs, in place. Bun leaves that of its makers in it, which is no
 * longer right once code was added, and macOS ends such a process; without any it starts. (For arm64, where one must
 * be there, Bun signs anew.) The layout is that of Mach-O's loader.h.
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
    const { signature, linkEdit } = placesIn(commands, count);
    if (signature === undefined || linkEdit === undefined) return;
    if (signature + SIGNATURE_COMMAND_BYTES !== commands.length) {
      throw new Error("the signature is no longer the last load command: macho-signature.ts must be adapted");
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

/** Offsets of the two load commands that the signature is told by. */
function placesIn(commands: Buffer, count: number) {
  let signature: number | undefined;
  let linkEdit: number | undefined;
  for (let index = 0, at = 0; index < count; index++, at += commands.readUInt32LE(at + 4)) {
    const kind = commands.readUInt32LE(at);
    if (kind === LC_CODE_SIGNATURE) signature = at;
    // The name of the segment follows the command's kind and size.
    if (kind === LC_SEGMENT_64 && commands.toString("latin1", at + 8, at + 18) === "__LINKEDIT")
      linkEdit = at;
  }
  return { signature, linkEdit };
}
