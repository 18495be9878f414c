import { brotliDecompressSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { sizeDelimitedPeek } from "@bufbuild/protobuf/wire";
import { SpecsEnvelopeSchema, SpecsTopLevelSchema } from "../../../src/gen/statsig_config_specs_pb.ts";

/** Returns the checksum of a payload; empty if it has none, or is not a config spec. */
export function readChecksum(bytes: Uint8Array, isProto: boolean): string {
  try {
    return isProto ? readFirst(brotliDecompressSync(bytes)) : readMember(Buffer.from(bytes).toString());
  } catch {
    return "";
  }
}

function readMember(text: string): string {
  const { checksum } = JSON.parse(text) as { readonly checksum?: unknown };
  return typeof checksum === "string" ? checksum : "";
}

/** TOP_LEVEL is the first envelope. */
function readFirst(envelopes: Uint8Array): string {
  const { size, offset } = sizeDelimitedPeek(envelopes);
  if (size === null || offset === null) return "";
  const { data } = fromBinary(SpecsEnvelopeSchema, envelopes.subarray(offset, offset + size));
  return data === undefined ? "" : fromBinary(SpecsTopLevelSchema, data).checksum;
}
