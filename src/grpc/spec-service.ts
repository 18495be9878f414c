import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import type { Clock } from "../clock.ts";
import {
  ConfigSpecRequest_apiVersion,
  type ConfigSpecRequest,
  type ConfigSpecResponse,
  ConfigSpecResponseSchema,
  type StatsigForwardProxy,
} from "../gen/statsig_forward_proxy_pb.ts";
import type { HeldFeed } from "../specs/held-feed.ts";
import { parseSdkKey } from "../specs/sdk-key.ts";
import { isNewsTo, NO_UPDATE_JSON, type Snapshot } from "../specs/snapshot.ts";
import type { SpecQuery } from "../specs/spec-query.ts";
import type { EmitRpcEvent } from "./events.ts";
import { followSpecs, type StreamItem } from "./spec-stream.ts";
import type { StreamAdmission } from "./stream-admission.ts";

export interface SpecServiceOptions {
  readonly query: SpecQuery;
  readonly admission: StreamAdmission;
  readonly clock: Clock;
  /** Sent as `x-sfp-hostname`. */
  readonly hostname: string;
  readonly emit: EmitRpcEvent;
}

/** The `StatsigForwardProxy` service (WIRE 3), the same on every port and protocol. */
export class SpecService implements ServiceImpl<typeof StatsigForwardProxy> {
  readonly #options: SpecServiceOptions;

  constructor(options: SpecServiceOptions) {
    this.#options = options;
  }

  async getConfigSpec(request: ConfigSpecRequest, context: HandlerContext): Promise<ConfigSpecResponse> {
    const { snapshot } = await this.find(request, context);
    if (!isNewsTo(Number(request.sinceTime ?? 0n), snapshot)) return noUpdateMessage(snapshot.lcut);
    return specMessage(snapshot);
  }

  async *streamConfigSpec(request: ConfigSpecRequest, context: HandlerContext) {
    for await (const item of this.stream(request, context)) {
      yield item.kind === "spec" ? specMessage(item.snapshot) : noUpdateMessage(item.lcut);
    }
  }

  /** What {@link streamConfigSpec} sends, before it is put into messages. Throws ConnectErrors. */
  async *stream(request: ConfigSpecRequest, context: HandlerContext): AsyncGenerator<StreamItem> {
    const { admission, clock, emit } = this.#options;
    const leave = admission.enter();
    if (leave === undefined) {
      emit({ kind: "stream_refused", reason: "too_many" });
      throw new ConnectError("Max concurrent streams reached", Code.ResourceExhausted);
    }
    context.signal.addEventListener("abort", leave, { once: true });
    try {
      const held = await this.find(request, context);
      const { feed } = held;
      emit({ kind: "stream_opened", feed, openStreams: admission.open });
      context.signal.addEventListener(
        "abort",
        () => emit({ kind: "stream_closed", feed, openStreams: admission.open }),
        { once: true },
      );
      for await (const item of followSpecs(held, Number(request.sinceTime ?? 0n), clock, context.signal)) {
        if (item.kind === "spec") emit({ kind: "stream_sent", feed, lcut: item.snapshot.lcut });
        else if (item.heartbeat) emit({ kind: "stream_heartbeat", feed });
        yield item;
      }
      throw held.ended === "evicted" ? unavailable("The key had to make room") : unauthorized();
    } finally {
      leave();
    }
  }

  /** The feed that a request asks for. Throws the ConnectError that says why there is none. */
  async find(request: ConfigSpecRequest, context: HandlerContext): Promise<HeldFeed> {
    context.responseHeader.set("x-sfp-hostname", this.#options.hostname);
    const sdkKey = parseSdkKey(request.sdkKey);
    if (sdkKey === undefined) throw new ConnectError("sdkKey is no SDK key", Code.InvalidArgument);
    const version = request.version === ConfigSpecRequest_apiVersion.v2 ? "v2" : "v1";
    const answer = await this.#options.query.ask(sdkKey, version, "json");
    switch (answer.kind) {
      case "held":
        return answer.held;
      case "unauthorized":
        throw unauthorized();
      case "unavailable":
        throw unavailable("No config spec yet: upstream does not answer");
    }
  }
}

function unauthorized(): ConnectError {
  return new ConnectError("Unauthorized", Code.PermissionDenied);
}

function unavailable(message: string): ConnectError {
  return new ConnectError(message, Code.Unavailable);
}

/** The text of a snapshot as a message holds it: decoded once, gone with the snapshot. */
const messageOf = new WeakMap<Snapshot, ConfigSpecResponse>();

function specMessage(snapshot: Snapshot): ConfigSpecResponse {
  let message = messageOf.get(snapshot);
  if (message === undefined) {
    const spec = new TextDecoder().decode(snapshot.bytes);
    message = create(ConfigSpecResponseSchema, { spec, lastUpdated: BigInt(snapshot.lcut) });
    messageOf.set(snapshot, message);
  }
  return message;
}

function noUpdateMessage(lcut: number): ConfigSpecResponse {
  return create(ConfigSpecResponseSchema, { spec: NO_UPDATE_JSON, lastUpdated: BigInt(lcut) });
}
