import { endStreamFlag, parseTimeout as parseConnectTimeout } from "@connectrpc/connect/protocol-connect";
import { parseTimeout as parseGrpcTimeout } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag } from "@connectrpc/connect/protocol-grpc-web";
import type { SharedFrame } from "../streams/lasting-body.ts";
import type { SpecItem } from "../streams/spec-stream.ts";
import { StatusError } from "../streams/status-error.ts";
import type { OpenedBody, StreamBodies } from "../streams/stream-bodies.ts";
import type { ItemEncoding } from "../streams/stream-body.ts";
import { toTrailers } from "./grpc-call.ts";
import { readBinary, readEnvelope, readJson } from "./request-envelope.ts";
import { toEnvelope, toFrame, toJsonFrame } from "./response-frames.ts";
import type { SpecService } from "./spec-service.ts";

/** How a response to `StreamConfigSpec` begins, and its body. */
export interface WebStream {
  readonly headers: Readonly<Record<string, string>>;
  /** The stream, or the frame of a refusal. */
  readonly body: OpenedBody["body"] | Uint8Array;
}

/** A longer timer would fire at once. No client waits for 24 days. */
const MAX_TIMEOUT_MS = 0x7fffffff;

interface Protocol {
  readonly timeoutHeader: string;
  readonly parseTimeout: typeof parseConnectTimeout;
  readonly codingHeader: string;
  /** Returns the frame that ends a response. */
  readonly end: (reason: StatusError) => Uint8Array;
}

const CONNECT: Protocol = {
  timeoutHeader: "connect-timeout-ms",
  parseTimeout: parseConnectTimeout,
  codingHeader: "connect-content-encoding",
  end: ({ code, message }) => toEnvelope(JSON.stringify({ error: { code, message } }), endStreamFlag),
};

const GRPC_WEB: Protocol = {
  timeoutHeader: "grpc-timeout",
  parseTimeout: parseGrpcTimeout,
  codingHeader: "grpc-encoding",
  end: (reason) => {
    const lines = Object.entries(toTrailers(reason)).map(([name, value]) => `${name}: ${value}\r\n`);
    return toEnvelope(lines.join(""), trailerFlag);
  },
};

interface Form {
  readonly protocol: Protocol;
  readonly isJson: boolean;
}

/** The forms of a request and its response, by content type. */
const FORMS: Readonly<Record<string, Form>> = {
  "application/connect+json": { protocol: CONNECT, isJson: true },
  "application/connect+proto": { protocol: CONNECT, isJson: false },
  "application/grpc-web": { protocol: GRPC_WEB, isJson: false },
  "application/grpc-web+proto": { protocol: GRPC_WEB, isJson: false },
  "application/grpc-web+json": { protocol: GRPC_WEB, isJson: true },
};

/**
 * Serves `StreamConfigSpec` over Connect and gRPC-Web by web standard requests. The Connect library would encode each version for each
 * client, and hold several versions for a client that does not read.
 */
export class WebStreams {
  readonly #service: SpecService;
  readonly #bodies: StreamBodies;

  constructor(service: SpecService, bodies: StreamBodies) {
    this.#service = service;
    this.#bodies = bodies;
  }

  /** Returns undefined for a request that only Connect can serve: it is compressed, or not well-formed. */
  open(request: Request): Promise<WebStream> | undefined {
    const { headers } = request;
    const form = FORMS[headers.get("content-type") ?? ""];
    if (form === undefined || (headers.get("connect-protocol-version") ?? "1") !== "1") return undefined;
    if ((headers.get(form.protocol.codingHeader) ?? "identity") !== "identity") return undefined;
    return this.#open(request, form);
  }

  async #open(request: Request, { protocol, isJson }: Form): Promise<WebStream> {
    const { headers, signal } = request;
    const contentType = { "content-type": headers.get("content-type") ?? "" };
    try {
      const deadlineMs = readTimeout(headers, protocol);
      const message = readEnvelope(
        new Uint8Array(await request.arrayBuffer()),
        isJson ? readJson : readBinary,
      );
      const asked = this.#service.toRequest(message, { isGrpc: false, headers: () => headers });
      const encoding = new EnvelopeEncoding(protocol, isJson ? toJsonFrame : toFrame);
      const { body, held } = await this.#bodies.open({ request: asked, encoding, signal, deadlineMs });
      return { headers: { ...contentType, ...this.#service.metadata(held) }, body };
    } catch (error) {
      const frame = protocol.end(this.#service.statusOf(error));
      return { headers: { ...contentType, ...this.#service.metadata() }, body: frame };
    }
  }
}

function readTimeout(headers: Headers, { timeoutHeader, parseTimeout }: Protocol): number | undefined {
  const { timeoutMs, error } = parseTimeout(headers.get(timeoutHeader), Number.MAX_SAFE_INTEGER);
  if (error !== undefined) throw new StatusError("invalid_argument", error.rawMessage);
  return timeoutMs !== undefined && timeoutMs <= MAX_TIMEOUT_MS ? timeoutMs : undefined;
}

/** The messages and the end of a stream as Connect and gRPC-Web frame them. */
class EnvelopeEncoding implements ItemEncoding {
  readonly #protocol: Protocol;
  readonly #toFrame: (item: SpecItem) => Uint8Array;

  constructor(protocol: Protocol, frame: (item: SpecItem) => Uint8Array) {
    this.#protocol = protocol;
    this.#toFrame = frame;
  }

  prepare(): undefined {
    return undefined;
  }

  encode(item: SpecItem): SharedFrame {
    return [this.#toFrame(item)];
  }

  end(reason: StatusError): SharedFrame {
    return [this.#protocol.end(reason)];
  }
}
