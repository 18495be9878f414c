import { status as code, type Metadata, type ServiceError } from "@grpc/grpc-js";
import { GET_CONFIG_SPEC, RawGrpcClient, STREAM_CONFIG_SPEC } from "../clients/raw-grpc-client.ts";
import { decodeFields, encodeRequest, type WireRequest } from "../clients/spec-messages.ts";
import { within } from "../common/wait.ts";

/** The status of a call, or its first message. */
export interface CallOutcome {
  readonly code: number;
  readonly details: string;
  /** The fields of the message by number. */
  readonly message?: Record<number, number | string>;
  readonly metadata?: Metadata;
}

/** Calls a method with the bytes of a request. Resolves with the failure too. */
export async function callUnary(url: string, request: Buffer, path = GET_CONFIG_SPEC): Promise<CallOutcome> {
  using client = new RawGrpcClient(url);
  try {
    const { message, metadata } = await client.unary(path, request);
    return { code: code.OK, details: "", message: decodeFields(message), metadata };
  } catch (error) {
    return asOutcome(error);
  }
}

/** Resolves with the first message of a stream, which is then cancelled, or with its failure. */
export async function callStream(url: string, request: WireRequest): Promise<CallOutcome> {
  using client = new RawGrpcClient(url);
  const stream = client.stream(STREAM_CONFIG_SPEC, encodeRequest(request));
  const first = new Promise<CallOutcome>((resolve) => {
    let metadata: Metadata | undefined;
    stream.once("metadata", (received: Metadata) => {
      metadata = received;
    });
    stream.on("error", (error) => resolve(asOutcome(error)));
    stream.once("data", (message: Buffer) => {
      resolve({ code: code.OK, details: "", message: decodeFields(message), ...(metadata && { metadata }) });
      stream.cancel();
    });
  });
  return await within(first, 10_000, "the first message of a stream");
}

function asOutcome(error: unknown): CallOutcome {
  const { code: failure, details } = error as ServiceError;
  return { code: failure, details };
}
