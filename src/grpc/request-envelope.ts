import { brotliDecompressSync, gunzipSync } from "node:zlib";
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

/** The largest request message, decompressed. Requests hold an SDK key and a number. */
export const MAX_REQUEST_BYTES = 64 * 1024;

/** How the message of a request may be compressed. */
const DECOMPRESS = { identity: undefined, gzip: gunzipSync, br: brotliDecompressSync } as const;

export type RequestCoding = keyof typeof DECOMPRESS;

export function isRequestCoding(name: string): name is RequestCoding {
  return Object.hasOwn(DECOMPRESS, name);
}

interface RequestForm {
  readonly coding: RequestCoding;
  /** Throws if the message is malformed. */
  readonly read: (message: Uint8Array) => ConfigSpecRequest;
}

/** Throws a {@link StatusError} unless the body is one message of this form. */
export function readEnvelope(body: Uint8Array, { coding, read }: RequestForm): ConfigSpecRequest {
  const message = openEnvelope(body, coding);
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

function openEnvelope(body: Uint8Array, coding: RequestCoding): Uint8Array {
  if (body.length === 0) throw new StatusError("unimplemented", ONE_MESSAGE);
  const [flags = 0] = body;
  // A client that sends the message alone begins with a brace.
  if (flags > COMPRESSED) throw new StatusError("invalid_argument", NO_ENVELOPE);
  if (body.length < ENVELOPE_BYTES) throw new StatusError("invalid_argument", "the message is incomplete");
  const view = new DataView(body.buffer, body.byteOffset);
  const bytes = view.getUint32(1);
  const end = ENVELOPE_BYTES + bytes;
  if (body.length < end) throw new StatusError("invalid_argument", "the message is incomplete");
  if (body.length > end) throw new StatusError("unimplemented", ONE_MESSAGE);
  if (bytes > MAX_REQUEST_BYTES) throw tooLarge();
  const message = body.subarray(ENVELOPE_BYTES);
  return flags === COMPRESSED ? decompress(message, coding) : message;
}

/** The size is limited, so that this takes less than a millisecond. */
function decompress(message: Uint8Array, coding: RequestCoding): Uint8Array {
  const decompressSync = DECOMPRESS[coding];
  if (decompressSync === undefined)
    throw new StatusError("internal", "a compressed message without its encoding in a header");
  try {
    return decompressSync(message, { maxOutputLength: MAX_REQUEST_BYTES });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge();
    throw new StatusError("invalid_argument", `the message is not valid ${coding}`);
  }
}

export function tooLarge(): StatusError {
  return new StatusError("resource_exhausted", `the request is larger than ${MAX_REQUEST_BYTES} bytes`);
}
