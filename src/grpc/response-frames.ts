import { create, toJsonString } from "@bufbuild/protobuf";
import { ConfigSpecResponseSchema } from "../gen/statsig_forward_proxy_pb.ts";
import { frameSpec } from "../specs/payload/grpc-frame.ts";
import { NO_UPDATE_JSON, type Snapshot } from "../specs/snapshot.ts";
import type { SpecItem } from "../streams/spec-stream.ts";
import { ENVELOPE_BYTES } from "./request-envelope.ts";

const NO_UPDATE_BYTES = new TextEncoder().encode(NO_UPDATE_JSON);

/** Clients get most heartbeats with the same lcut. */
let noUpdate = { lcut: 0, frame: frameSpec(NO_UPDATE_BYTES, 0).grpcFrame };

/** Returns the item as a message in protobuf, in an envelope. That of a version is the one that all clients and threads share. */
export function toFrame(item: SpecItem): Uint8Array {
  if (item.kind === "spec") return item.snapshot.grpcFrame;
  const { lcut } = item;
  if (noUpdate.lcut !== lcut) noUpdate = { lcut, frame: frameSpec(NO_UPDATE_BYTES, lcut).grpcFrame };
  return noUpdate.frame;
}

/** The frames in JSON of each version; released with the version. */
const jsonFrames = new WeakMap<Snapshot, Uint8Array>();

/** As {@link toFrame}, in ProtoJSON. That of a version is shared by all clients of the thread. */
export function toJsonFrame(item: SpecItem): Uint8Array {
  if (item.kind === "no_update") return encodeJson(NO_UPDATE_JSON, item.lcut);
  const { snapshot } = item;
  let frame = jsonFrames.get(snapshot);
  if (frame === undefined) {
    frame = encodeJson(new TextDecoder().decode(snapshot.bytes), snapshot.lcut);
    jsonFrames.set(snapshot, frame);
  }
  return frame;
}

function encodeJson(spec: string, lcut: number): Uint8Array {
  const message = create(ConfigSpecResponseSchema, { spec, lastUpdated: BigInt(lcut) });
  return toEnvelope(toJsonString(ConfigSpecResponseSchema, message), 0);
}

/** Returns a text in an envelope. `flags` say what it is: 0 for a message. */
export function toEnvelope(text: string, flags: number): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const envelope = new Uint8Array(ENVELOPE_BYTES + bytes.length);
  envelope[0] = flags;
  new DataView(envelope.buffer).setUint32(1, bytes.length);
  envelope.set(bytes, ENVELOPE_BYTES);
  return envelope;
}
