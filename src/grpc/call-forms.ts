import { endStreamFlag, parseTimeout as parseConnectTimeout } from "@connectrpc/connect/protocol-connect";
import { contentTypeProto, parseTimeout as parseGrpcTimeout } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag } from "@connectrpc/connect/protocol-grpc-web";
import type { ConfigSpecRequest } from "../gen/statsig_forward_proxy_pb.ts";
import type { SpecItem } from "../streams/spec-stream.ts";
import { StatusError } from "../streams/status-error.ts";
import { isRequestCoding, type RequestCoding, readBinary, readJson } from "./request-envelope.ts";
import { toEnvelope, toFrame, toJsonFrame } from "./response-frames.ts";
import { toTrailers } from "./trailers.ts";

/** The form of the request and the response of `StreamConfigSpec`. In each of them, messages are in envelopes. */
export interface CallForm extends Protocol {
  readonly contentType: string;
  /** The compression of the request. Responses are not compressed. */
  readonly coding: RequestCoding;
  /** Throws if the message is malformed. */
  readonly read: (message: Uint8Array) => ConfigSpecRequest;
  /** Returns the message in its envelope. */
  readonly toFrame: (item: SpecItem) => Uint8Array;
}

interface Protocol {
  readonly isGrpc: boolean;
  /** The header that names the compression of the request. */
  readonly codingHeader: string;
  readonly timeoutHeader: string;
  readonly parseTimeout: typeof parseConnectTimeout;
  /** Returns the envelope that ends the response; undefined if trailers do. */
  readonly endFrame: ((reason: StatusError) => Uint8Array) | undefined;
}

const GRPC: Protocol = {
  isGrpc: true,
  codingHeader: "grpc-encoding",
  timeoutHeader: "grpc-timeout",
  parseTimeout: parseGrpcTimeout,
  endFrame: undefined,
};

const GRPC_WEB: Protocol = {
  ...GRPC,
  isGrpc: false,
  endFrame: (reason) => {
    const lines = Object.entries(toTrailers(reason)).map(([name, value]) => `${name}: ${value}\r\n`);
    return toEnvelope(lines.join(""), trailerFlag);
  },
};

const CONNECT: Protocol = {
  isGrpc: false,
  codingHeader: "connect-content-encoding",
  timeoutHeader: "connect-timeout-ms",
  parseTimeout: parseConnectTimeout,
  endFrame: ({ code, message }) => toEnvelope(JSON.stringify({ error: { code, message } }), endStreamFlag),
};

const BINARY = { coding: "identity", read: readBinary, toFrame } as const;
const JSON_TEXT = { coding: "identity", read: readJson, toFrame: toJsonFrame } as const;

/** The form of plain gRPC, which a response names in full. */
const PLAIN: CallForm = { ...GRPC, ...BINARY, contentType: contentTypeProto };

const FORMS: readonly CallForm[] = [
  PLAIN,
  { ...GRPC_WEB, ...BINARY, contentType: "application/grpc-web" },
  { ...GRPC_WEB, ...BINARY, contentType: "application/grpc-web+proto" },
  { ...GRPC_WEB, ...JSON_TEXT, contentType: "application/grpc-web+json" },
  { ...CONNECT, ...BINARY, contentType: "application/connect+proto" },
  { ...CONNECT, ...JSON_TEXT, contentType: "application/connect+json" },
];

const byType = new Map([
  ["application/grpc", PLAIN],
  ...FORMS.map((form) => [form.contentType, form] as const),
]);

/** Returns undefined for a request that is left to the Connect library: its form is unknown. */
export function findForm(headers: Pick<Headers, "get">): CallForm | undefined {
  const form = byType.get(headers.get("content-type") ?? "");
  if (form === undefined || (headers.get("connect-protocol-version") ?? "1") !== "1") return undefined;
  const coding = headers.get(form.codingHeader) ?? "identity";
  if (coding === form.coding) return form;
  return isRequestCoding(coding) ? { ...form, coding } : undefined;
}

/** A longer timer would fire at once. No client waits for 24 days. */
const MAX_TIMEOUT_MS = 0x7fffffff;

/** Returns the time that the client gives the call; undefined if it sets no limit. Throws a {@link StatusError} if it is malformed. */
export function readTimeout(
  headers: Pick<Headers, "get">,
  { timeoutHeader, parseTimeout }: CallForm,
): number | undefined {
  const { timeoutMs, error } = parseTimeout(headers.get(timeoutHeader), Number.MAX_SAFE_INTEGER);
  if (error !== undefined) throw new StatusError("invalid_argument", error.rawMessage);
  return timeoutMs !== undefined && timeoutMs <= MAX_TIMEOUT_MS ? timeoutMs : undefined;
}
