import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import {
  type ConfigSpecRequest,
  type ConfigSpecResponse,
  ConfigSpecResponseSchema,
  type StatsigForwardProxy,
} from "../gen/statsig_forward_proxy_pb.ts";
import { untilAborted } from "../platform/abort.ts";
import { NO_UPDATE_JSON, type Snapshot } from "../specs/snapshot.ts";
import type { HeldFeed } from "../specs/store.ts";
import { readItems } from "../streams/read-items.ts";
import type { SpecItem } from "../streams/spec-stream.ts";
import { type StatusCode, StatusError } from "../streams/status-error.ts";
import { toConnectError } from "./connect-error.ts";
import type { SpecService } from "./spec-service.ts";
import { streamSignal } from "./stream-ending.ts";

/** The service for protocols that Connect serves: its responses are protobuf messages, its errors ConnectErrors. */
export function messageService(service: SpecService): ServiceImpl<typeof StatsigForwardProxy> {
  return {
    async getConfigSpec(request, context) {
      setMetadata(service, context);
      try {
        const headers = () => context.requestHeader;
        const signal = () => toCancellation(context.signal);
        const { held, item } = await service.get(request, { isGrpc: isGrpc(context), headers, signal });
        setMetadata(service, context, held);
        return toMessage(item);
      } catch (error) {
        throw toReportedError(service, error, context);
      }
    },
    async *streamConfigSpec(request, context) {
      setMetadata(service, context);
      try {
        for await (const item of openStream(service, request, context)) yield toMessage(item);
      } catch (error) {
        throw toReportedError(service, error, context);
      }
    },
  };
}

async function* openStream(
  service: SpecService,
  message: ConfigSpecRequest,
  context: HandlerContext,
): AsyncGenerator<SpecItem> {
  const stream = service.streams.enter();
  const close = () => stream.close();
  context.signal.addEventListener("abort", close, { once: true });
  try {
    const headers = () => context.requestHeader;
    const request = service.toRequest(message, { isGrpc: isGrpc(context), headers });
    const held = await untilAborted(stream.open(request), toCancellation(context.signal));
    setMetadata(service, context, held);
    yield* readItems(stream, streamSignal(context));
  } finally {
    context.signal.removeEventListener("abort", close);
    close();
  }
}

/** Whether it is a call of gRPC in a form that only Connect reads, such as JSON. */
function isGrpc({ protocolName }: HandlerContext): boolean {
  return protocolName === "grpc";
}

function setMetadata(service: SpecService, { responseHeader }: HandlerContext, held?: HeldFeed): void {
  for (const [name, value] of Object.entries(service.metadata(held))) responseHeader.set(name, value);
}

/**
 * Returns a signal that is aborted when the call is cancelled or its deadline passes. A shutdown does not interrupt the search
 * for a feed.
 */
function toCancellation(signal: AbortSignal): AbortSignal {
  const cancelled = new AbortController();
  const abort = () => {
    const { code, rawMessage } = ConnectError.from(signal.reason);
    if (code !== Code.Unavailable)
      cancelled.abort(new StatusError(codeToString(code) as StatusCode, rawMessage));
  };
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  return cancelled.signal;
}

/** Returns the error with which the call ends. Unexpected errors are reported, unless the client is gone. */
function toReportedError(service: SpecService, error: unknown, { signal }: HandlerContext): ConnectError {
  return toConnectError(signal.aborted ? error : service.statusOf(error));
}

/** The text of each snapshot is decoded once, and released with it. */
const messageBySnapshot = new WeakMap<Snapshot, ConfigSpecResponse>();

function toMessage(item: SpecItem): ConfigSpecResponse {
  if (item.kind === "no_update") {
    return create(ConfigSpecResponseSchema, { spec: NO_UPDATE_JSON, lastUpdated: BigInt(item.lcut) });
  }
  const { snapshot } = item;
  let message = messageBySnapshot.get(snapshot);
  if (message === undefined) {
    const spec = new TextDecoder().decode(snapshot.bytes);
    message = create(ConfigSpecResponseSchema, { spec, lastUpdated: BigInt(snapshot.lcut) });
    messageBySnapshot.set(snapshot, message);
  }
  return message;
}
