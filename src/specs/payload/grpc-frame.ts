import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { allocateShared, type SharedBytes } from "../../platform/shared-bytes.ts";

/** One flag byte, 0 for not compressed, and the big-endian length of the message. */
const FRAME_HEADER_BYTES = 5;

/** The field numbers of `ConfigSpecResponse`; see proto/statsig_forward_proxy.proto. */
const SPEC = 1;
const LAST_UPDATED = 2;

interface FramedSpec {
  /** The text, as a view of `grpcFrame`. */
  readonly bytes: SharedBytes;
  /** A gRPC frame: the message `ConfigSpecResponse` with the text and the lcut, as it is sent. */
  readonly grpcFrame: SharedBytes;
}

/**
 * Copies the text of a config spec into a gRPC frame, so that one copy of it serves HTTP and gRPC on every thread. The message
 * is encoded by hand, since the text is held as the bytes that go on the wire.
 */
export function frameSpec(text: Uint8Array, lcut: number): FramedSpec {
  const head = new BinaryWriter().tag(SPEC, WireType.LengthDelimited).uint32(text.length).finish();
  const tail = lcut > 0 ? new BinaryWriter().tag(LAST_UPDATED, WireType.Varint).uint64(lcut).finish() : [];
  const messageBytes = head.length + text.length + tail.length;
  const grpcFrame = allocateShared(FRAME_HEADER_BYTES + messageBytes);
  new DataView(grpcFrame.buffer).setUint32(1, messageBytes);
  grpcFrame.set(head, FRAME_HEADER_BYTES);
  const textAt = FRAME_HEADER_BYTES + head.length;
  grpcFrame.set(text, textAt);
  grpcFrame.set(tail, textAt + text.length);
  return { bytes: grpcFrame.subarray(textAt, textAt + text.length), grpcFrame };
}
