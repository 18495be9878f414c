import { type ConfigSpecRequest, ConfigSpecRequest_apiVersion } from "../gen/statsig_forward_proxy_pb.ts";
import { untilAborted } from "../platform/abort.ts";
import type { ApiVersion, Feed } from "../specs/feed.ts";
import { isNewsTo, toOrigin } from "../specs/snapshot.ts";
import type { HeldFeed } from "../specs/store.ts";
import type { MessageLimit } from "../streams/message-limit.ts";
import type { FeedFinder } from "../streams/requested-feed.ts";
import type { SpecItem, SpecStreams, StreamRequest } from "../streams/spec-stream.ts";
import { StatusError, toStatusError } from "../streams/status-error.ts";
import type { EmitRpcEvent } from "./events.ts";

interface SpecServiceOptions {
  readonly finder: FeedFinder;
  readonly streams: SpecStreams;
  /** The limit for gRPC itself: clients of Connect and gRPC-Web take messages of any size by default. */
  readonly messageLimit: MessageLimit;
  /** Sent as `x-sfp-hostname`. */
  readonly hostname: string;
  readonly emit: EmitRpcEvent;
  /** Called with the metadata of each call over gRPC itself. Others are HTTP requests, which are counted as such. */
  readonly onSdk: (headers: Pick<Headers, "get">) => void;
  /** Called with unexpected errors. */
  readonly onFault: (error: unknown) => void;
}

/** What a call says beside its message. */
interface CallContext {
  /** Whether the client uses gRPC itself. */
  readonly isGrpc: boolean;
  readonly headers: () => Pick<Headers, "get">;
  /** Aborted when the client cancels the call or its deadline passes. Its reason becomes the error of the call. */
  readonly signal: () => AbortSignal;
}

interface Answer {
  readonly held: HeldFeed;
  readonly item: SpecItem;
}

/** The `StatsigForwardProxy` service (docs/protocol.md, gRPC), whichever way its messages are sent. */
export class SpecService {
  readonly streams: SpecStreams;
  readonly #options: SpecServiceOptions;

  constructor(options: SpecServiceOptions) {
    this.#options = options;
    this.streams = options.streams;
  }

  /** `getConfigSpec`. Rejects with a {@link StatusError}, or the reason of the call's signal. */
  async get(message: ConfigSpecRequest, call: CallContext): Promise<Answer> {
    const { finder, messageLimit, emit } = this.#options;
    const startedAt = performance.now();
    const completed = (code: string, feed?: Feed, bytes = 0) =>
      emit({ kind: "rpc_answered", feed, code, bytes, tookMs: performance.now() - startedAt });
    try {
      const request = this.toRequest(message, call);
      const held = finder.held(request) ?? (await untilAborted(finder.find(request), call.signal()));
      const { snapshot, feed } = held;
      const isNews = isNewsTo(request.sinceTime, snapshot);
      const tooManyBytes = isNews ? request.messageLimit?.exceededBy(snapshot) : undefined;
      if (tooManyBytes !== undefined) {
        emit({ kind: "spec_too_large", feed, bytes: tooManyBytes });
        throw messageLimit.toError(tooManyBytes);
      }
      completed("ok", feed, isNews ? snapshot.bytes.length : 0);
      return { held, item: isNews ? { kind: "spec", snapshot } : { kind: "no_update", lcut: snapshot.lcut } };
    } catch (error) {
      completed(toStatusError(error).code);
      throw error;
    }
  }

  toRequest(
    { sdkKey, version, sinceTime }: ConfigSpecRequest,
    { isGrpc, headers }: Pick<CallContext, "isGrpc" | "headers">,
  ): StreamRequest {
    const messageLimit = isGrpc ? this.#options.messageLimit : undefined;
    if (isGrpc) this.#options.onSdk(headers());
    return {
      ...{ sdkKey, version: readVersion(version), headers, messageLimit },
      sinceTime: Number(sinceTime ?? 0n),
    };
  }

  /** Returns the status with which a call ends that failed. Unexpected errors are reported. */
  statusOf(error: unknown): StatusError {
    if (!(error instanceof StatusError)) this.#options.onFault(error);
    return toStatusError(error);
  }

  /** The response metadata of every call; with the feed, those of its version. On a stream that is the first message's. */
  metadata(held?: HeldFeed): Record<string, string> {
    const metadata: Record<string, string> = { "x-sfp-hostname": this.#options.hostname };
    if (held === undefined) return metadata;
    const { source, confirmedAt } = toOrigin(held);
    metadata["x-sfp-source"] = source;
    if (confirmedAt !== undefined) metadata["x-sfp-confirmed-at"] = confirmedAt;
    return metadata;
  }
}

function readVersion(version: ConfigSpecRequest_apiVersion | undefined): ApiVersion | undefined {
  switch (version) {
    case undefined:
    case ConfigSpecRequest_apiVersion.no_version:
    case ConfigSpecRequest_apiVersion.v1:
      return "v1";
    case ConfigSpecRequest_apiVersion.v2:
      return "v2";
    default:
      return undefined;
  }
}
