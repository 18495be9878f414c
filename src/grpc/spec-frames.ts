import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ConfigSpecResponseSchema } from "../gen/statsig_forward_proxy_pb.ts";
import { NO_UPDATE_JSON, type Snapshot } from "../specs/snapshot.ts";
import type { SpecItem } from "./spec-stream.ts";

const { spec, lastUpdated } = ConfigSpecResponseSchema.field;

/** One flag byte (0: not compressed) and the length, big endian. */
const FRAME_HEADER_BYTES = 5;

/**
 * A slow client holds back one slice, not a copy of the frame. Larger ones, beyond HTTP/2's default window, make
 * Bun's node:http2 stall for seconds; smaller ones cost CPU.
 */
const SLICE_BYTES = 64 * 1024;

/** One frame for all clients of a snapshot; gone with it. */
const frameOf = new WeakMap<Snapshot, Uint8Array>();

/** A gRPC message frame that holds a `ConfigSpecResponse`, in slices of shared memory. */
export function* frameSlices(item: SpecItem): Generator<Uint8Array, void, undefined> {
  const frame = item.kind === "spec" ? specFrame(item.snapshot) : encodeFrame(NO_UPDATE_BYTES, item.lcut);
  for (let at = 0; at < frame.length; at += SLICE_BYTES) yield frame.subarray(at, at + SLICE_BYTES);
}

const NO_UPDATE_BYTES = new TextEncoder().encode(NO_UPDATE_JSON);

function specFrame(snapshot: Snapshot): Uint8Array {
  let frame = frameOf.get(snapshot);
  if (frame === undefined) {
    frame = encodeFrame(snapshot.bytes, snapshot.lcut);
    frameOf.set(snapshot, frame);
  }
  return frame;
}

/** The message is written by hand, since the text is held as the bytes that go on the wire. */
function encodeFrame(text: Uint8Array, lcut: number): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(spec.number, WireType.LengthDelimited).bytes(text);
  if (lcut > 0) writer.tag(lastUpdated.number, WireType.Varint).uint64(lcut);
  const message = writer.finish();
  const frame = new Uint8Array(FRAME_HEADER_BYTES + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, FRAME_HEADER_BYTES);
  return frame;
}
