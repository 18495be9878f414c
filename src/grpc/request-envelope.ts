import { fromBinary, fromJsonString } from "@bufbuild/protobuf";
import { type ConfigSpecRequest, ConfigSpecRequestSchema } from "../gen/statsig_forward_proxy_pb.ts";
import { StatusError } from "../streams/status-error.ts";

/** One flag byte, and the big-endian length of the message. */
export const ENVELOPE_BYTES = 5;

/** The flag of a message that is compressed. */
const COMPRESSED = 1;

const ONE_MESSAGE = "the request must have exactly one message";
const NO_ENVELOPE =
  "the request has no envelope: a byte of flags, which is 0, and the length of the message in four bytes";

/** Throws a {@link StatusError} unless the body is one message that is not compressed. */
export function readEnvelope(
  body: Uint8Array,
  read: (message: Uint8Array) => ConfigSpecRequest,
): ConfigSpecRequest {
  const message = openEnvelope(body);
  try {
    return read(message);
  } catch {
    throw new StatusError("invalid_argument", "the message is not a valid ConfigSpecRequest");
  }
}

/** Reads a message in protobuf. Throws if it is malformed. */
export function readBinary(message: Uint8Array): ConfigSpecRequest {
  return fromBinary(ConfigSpecRequestSchema, message);
}

/** Reads a message in ProtoJSON. Throws if it is malformed. */
export function readJson(message: Uint8Array): ConfigSpecRequest {
  const text = new TextDecoder().decode(message);
  return fromJsonString(ConfigSpecRequestSchema, text, { ignoreUnknownFields: true });
}

function openEnvelope(body: Uint8Array): Uint8Array {
  if (body.length === 0) throw new StatusError("unimplemented", ONE_MESSAGE);
  const [flags = 0] = body;
  // A client that sends the message alone begins with a brace.
  if (flags > COMPRESSED) throw new StatusError("invalid_argument", NO_ENVELOPE);
  if (body.length < ENVELOPE_BYTES) throw new StatusError("invalid_argument", "the message is incomplete");
  if (flags === COMPRESSED)
    throw new StatusError("internal", "a compressed message without its encoding in a header");
  const view = new DataView(body.buffer, body.byteOffset);
  const end = ENVELOPE_BYTES + view.getUint32(1);
  if (body.length < end) throw new StatusError("invalid_argument", "the message is incomplete");
  if (body.length > end) throw new StatusError("unimplemented", ONE_MESSAGE);
  return body.subarray(ENVELOPE_BYTES);
}
