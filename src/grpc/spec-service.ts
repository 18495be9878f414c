import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { parseSdkKey } from "../access/sdk-key.ts";
import { type ConfigSpecRequest, ConfigSpecRequest_apiVersion } from "../gen/statsig_forward_proxy_pb.ts";
import type { Clock } from "../platform/clock.ts";
import { ThreadUnreachable } from "../platform/thread-channel.ts";
import { withTrace } from "../platform/trace-context.ts";
import type { InFlight } from "../server/limits.ts";
import type { ApiVersion, Feed } from "../specs/feed.ts";
import type { SpecLookups } from "../specs/query.ts";
import { isNewsTo, toOrigin } from "../specs/snapshot.ts";
import type { HeldFeed } from "../specs/store.ts";
import type { EmitRpcEvent } from "./events.ts";
import { followSpecs, type SpecItem } from "./spec-stream.ts";
import type { StreamLimit } from "./stream-limit.ts";

interface SpecServiceOptions {
  readonly query: SpecLookups;
  readonly streamLimit: StreamLimit;
  readonly inFlight: InFlight;
  readonly clock: Clock;
  /** Sent as `x-sfp-hostname`. */
  readonly hostname: string;
  readonly emit: EmitRpcEvent;
  /** Called with unexpected errors. Their calls end with INTERNAL. */
  readonly onFault: (error: unknown) => void;
}

/**
 * The `StatsigForwardProxy` service (docs/protocol.md, gRPC), before its results are encoded as messages or frames. Methods
 * throw ConnectErrors.
 */
export class SpecService {
  readonly #options: SpecServiceOptions;

  constructor(options: SpecServiceOptions) {
    this.#options = options;
  }

  async getConfigSpec(request: ConfigSpecRequest, context: HandlerContext): Promise<SpecItem> {
    try {
      return await this.#get(request, context);
    } catch (error) {
      this.#reportFault(error, context);
      throw error;
    }
  }

  async *streamConfigSpec(request: ConfigSpecRequest, context: HandlerContext): AsyncGenerator<SpecItem> {
    try {
      yield* this.#stream(request, context);
    } catch (error) {
      this.#reportFault(error, context);
      throw error;
    }
  }

  async #get(request: ConfigSpecRequest, context: HandlerContext): Promise<SpecItem> {
    const startedAt = performance.now();
    const completed = (code: string, feed?: Feed) =>
      this.#options.emit({ kind: "rpc_answered", feed, code, tookMs: performance.now() - startedAt });
    try {
      const held = await untilCancelled(this.#find(request, context), context.signal);
      const { snapshot, feed } = held;
      setOriginHeaders(held, context);
      completed("ok", feed);
      if (isNewsTo(readSinceTime(request), snapshot)) return { kind: "spec", snapshot };
      return { kind: "no_update", lcut: snapshot.lcut };
    } catch (error) {
      completed(toCodeName(error));
      throw error;
    }
  }

  async *#stream(request: ConfigSpecRequest, context: HandlerContext): AsyncGenerator<SpecItem> {
    const { streamLimit, clock, emit } = this.#options;
    const close = streamLimit.enter();
    if (close === undefined) {
      emit({ kind: "stream_refused", code: codeToString(Code.ResourceExhausted), isFull: true });
      throw new ConnectError("Max concurrent streams reached", Code.ResourceExhausted);
    }
    // Also runs if the client resets a stream without reading it: the generator is then never resumed.
    context.signal.addEventListener("abort", close, { once: true });
    try {
      const held = await this.#findForStream(request, context);
      for await (const item of followSpecs(held, readSinceTime(request), clock, context.signal)) {
        emit({ kind: "stream_sent", feed: held.feed, item: item.kind, lcut: getLcut(item) });
        yield item;
      }
      throw held.ended === "evicted" ? unavailable("SDK key was evicted") : unauthorized();
    } finally {
      close();
    }
  }

  #reportFault(error: unknown, { signal }: HandlerContext): void {
    if (!(error instanceof ConnectError) && !signal.aborted) this.#options.onFault(error);
  }

  async #findForStream(request: ConfigSpecRequest, context: HandlerContext): Promise<HeldFeed> {
    const { streamLimit, emit } = this.#options;
    try {
      const held = await untilCancelled(this.#find(request, context), context.signal);
      context.signal.throwIfAborted();
      const { feed } = held;
      setOriginHeaders(held, context);
      emit({ kind: "stream_opened", feed, openStreams: streamLimit.open });
      const closed = () => emit({ kind: "stream_closed", feed, openStreams: streamLimit.open });
      context.signal.addEventListener("abort", closed, { once: true });
      return held;
    } catch (error) {
      emit({ kind: "stream_refused", code: toCodeName(error), isFull: false });
      throw error;
    }
  }

  /** Resolves with the requested feed. Throws a ConnectError if it is not available. */
  async #find(request: ConfigSpecRequest, context: HandlerContext): Promise<HeldFeed> {
    context.responseHeader.set("x-sfp-hostname", this.#options.hostname);
    using slot = this.#options.inFlight.enter();
    if (slot === undefined) throw new ConnectError("Too many requests in flight", Code.ResourceExhausted);
    const sdkKey = parseSdkKey(request.sdkKey);
    if (sdkKey === undefined) throw new ConnectError("sdkKey is not a valid SDK key", Code.InvalidArgument);
    const version = readVersion(request);
    const { query } = this.#options;
    const held = query.held(sdkKey, version, "json");
    if (held !== undefined) return held;
    const found = await withTrace(context.requestHeader, () => query.ask(sdkKey, version, "json")).catch(
      (error: unknown) => {
        if (!(error instanceof ThreadUnreachable)) throw error;
        this.#reportFault(error, context);
        throw unavailable("The relay is overloaded");
      },
    );
    switch (found.kind) {
      case "held":
        return found.held;
      case "unauthorized":
        throw unauthorized();
      case "unavailable":
        throw unavailable("No config spec available: nothing is cached, and upstream fails");
      case "throttled":
        throw new ConnectError("Too many unknown SDK keys", Code.ResourceExhausted);
    }
  }
}

/**
 * Settles as `work` does, but rejects when the call is cancelled or its deadline passes. A shutdown does not interrupt the
 * work.
 */
async function untilCancelled<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const cancelled = Promise.withResolvers<never>();
  const onAbort = () => {
    const error = ConnectError.from(signal.reason);
    if (error.code !== Code.Unavailable) cancelled.reject(error);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, cancelled.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Sets headers. On a stream they describe its first message, and later messages have no place for newer values. */
function setOriginHeaders(held: HeldFeed, { responseHeader }: HandlerContext): void {
  const { source, confirmedAt } = toOrigin(held);
  responseHeader.set("x-sfp-source", source);
  if (confirmedAt !== undefined) responseHeader.set("x-sfp-confirmed-at", confirmedAt);
}

function toCodeName(error: unknown): string {
  return codeToString(ConnectError.from(error).code);
}

function unauthorized(): ConnectError {
  return new ConnectError("Unauthorized", Code.PermissionDenied);
}

function unavailable(message: string): ConnectError {
  return new ConnectError(message, Code.Unavailable);
}

/** Throws PERMISSION_DENIED for a version that does not exist, which upstream would reject (docs/protocol.md, gRPC errors). */
function readVersion({ version }: ConfigSpecRequest): ApiVersion {
  switch (version) {
    case undefined:
    case ConfigSpecRequest_apiVersion.no_version:
    case ConfigSpecRequest_apiVersion.v1:
      return "v1";
    case ConfigSpecRequest_apiVersion.v2:
      return "v2";
    default:
      throw unauthorized();
  }
}

function readSinceTime(request: ConfigSpecRequest): number {
  return Number(request.sinceTime ?? 0n);
}

function getLcut(item: SpecItem): number {
  return item.kind === "spec" ? item.snapshot.lcut : item.lcut;
}
