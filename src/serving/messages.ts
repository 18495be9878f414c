import type { Refusal } from "../access/admission.ts";
import type { SdkKey } from "../access/sdk-key.ts";
import type { AllowedOrigins } from "../http/cors.ts";
import type { ProbeState } from "../http/routes/probes.ts";
import type { FileRequest } from "../id-lists/on-demand.ts";
import type {
  FileLookup,
  FileName,
  IdListSettings,
  ManifestLookup,
  ManifestRequest,
  ServedFile,
  UnreadableFile,
} from "../id-lists/service.ts";
import type { EventRequest, IntakeOutcome, LogEventService } from "../log-events/intake.ts";
import type { DescribedError } from "../platform/errors.ts";
import type { TaskName } from "../platform/supervisor.ts";
import type { Call, CallOutcome } from "../platform/thread-channel.ts";
import type { TraceHeaders } from "../platform/trace-context.ts";
import type { Certificates, TlsSettings } from "../server/certificates.ts";
import type { ConnectionAge } from "../server/connection-age.ts";
import type { Http2Limits } from "../server/http2-server.ts";
import type { Feed } from "../specs/feed.ts";
import type { CountedSdk } from "../telemetry/status/sdks.ts";
import type { CountedRequests } from "../telemetry/topics/http.ts";
import type { CountedRpcs } from "../telemetry/topics/rpc.ts";
import type { CountMemory, ThreadsOfPorts } from "./counts.ts";
import type { ThreadEvent } from "./event-batch.ts";
import type { AskReply, SpecUpdate, SpecUse } from "./spec-replica.ts";

/** What the control plane sends to a serving thread. All of it is plain data. */
export type ToServing =
  /** The first message. */
  | { readonly kind: "set_up"; readonly setup: ServingSetup }
  | SpecUpdate
  /** Follows the first copy of the store: from now on the thread accepts connections. */
  | { readonly kind: "listen" }
  | CallOutcome
  | { readonly kind: "settings"; readonly settings: ServingSettings }
  | { readonly kind: "certificates"; readonly certificates: Certificates }
  /** Asks for what was counted since the last time. */
  | { readonly kind: "collect" }
  /** The relay is about to stop: health is NOT_SERVING from now on. Everything is served as before. */
  | { readonly kind: "stopping" }
  /** Stop accepting connections, end streams, finish requests in flight. */
  | { readonly kind: "drain" };

/** What a serving thread sends to the control plane. All of it is plain data. */
export type FromServing =
  /** Replies to `set_up` if the thread cannot serve at all. */
  | { readonly kind: "set_up_failed"; readonly error: DescribedError }
  /** Replies to `listen`. */
  | { readonly kind: "listening" }
  | { readonly kind: "listen_failed"; readonly failure: ListenFailure }
  | SpecUse
  | Call<ControlCalls>
  | ThreadEvent
  /** An unexpected error, which the thread survives. */
  | { readonly kind: "fault"; readonly task: TaskName; readonly error: DescribedError }
  /** Replies to `collect`, and is sent on its own twice a second if anything was counted. */
  | Counted
  /** Replies to `drain`: nothing is in flight any more. */
  | { readonly kind: "drained" };

/** What a thread counted since it last sent this. */
export interface Counted {
  readonly kind: "counted";
  readonly requests: readonly CountedRequests[];
  readonly rpcs: readonly CountedRpcs[];
  readonly sdks: readonly CountedSdk[];
  readonly isReply: boolean;
}

/** A port could not be opened. */
export interface ListenFailure {
  readonly protocol: Protocol;
  /** The system's error code; undefined if there is none. */
  readonly code: string | undefined;
  readonly message: string;
}

export type Protocol = "http" | "https" | "grpc" | "grpcs";

/** A port that several threads share. */
export interface SharedPort {
  readonly protocol: Protocol;
  readonly bindAddress: string;
  /** Never 0: all threads open the same one. */
  readonly port: number;
}

/** What a thread needs to know before it serves. */
export interface ServingSetup {
  /** Such as `http-1`, for logs. */
  readonly name: string;
  /** Identifies the thread in shared counts. */
  readonly slot: number;
  readonly ports: readonly SharedPort[];
  readonly threads: ThreadsOfPorts;
  readonly limits: ServingLimits;
  /** Undefined if no port uses TLS. */
  readonly tls: { readonly settings: TlsSettings; readonly certificates: Certificates } | undefined;
  readonly corsOrigins: AllowedOrigins;
  readonly hostname: string;
  readonly grpcReadyPercent: number;
  readonly idLists: IdListSettings;
  readonly metrics: { readonly isPushing: boolean; readonly maxSeries: number };
  readonly logEvents: Pick<LogEventService, "maxBodyBytes" | "relayId">;
  readonly settings: ServingSettings;
  readonly shared: SharedMemory;
}

/** The limits that stay the same until the relay ends. */
interface ServingLimits extends Http2Limits {
  readonly maxUrlLength: number;
  readonly idleTimeoutMs: number;
}

/** The settings that a reload may change. */
export interface ServingSettings {
  readonly maxConcurrentRequests: number;
  readonly maxStreams: number;
  readonly maxGrpcMessageBytes: number;
  readonly connectionAge: ConnectionAge;
  /** Whether every request and stream is logged. */
  readonly isDebug: boolean;
}

/** What all threads read and write. */
export interface SharedMemory {
  /** Each thread increments its own number several times a second, as long as its event loop runs. */
  readonly beats: SharedArrayBuffer;
  readonly counts: CountMemory;
}

/** What a thread asks the control plane to do. */
export interface ControlCalls {
  ask(argument: Traced<Feed>): Promise<AskReply>;
  probeState(argument: undefined): Promise<ProbeState>;
  manifest(argument: Traced<ManifestRequest>): Promise<ManifestLookup>;
  file(argument: FileName): Promise<ServedFile | undefined>;
  fileOnDemand(argument: Traced<FileRequest>): Promise<FileLookup>;
  reportUnreadable(argument: UnreadableFile): Promise<void>;
  eventRefusal(argument: SdkKey): Promise<Refusal | undefined>;
  acceptEvents(argument: EventRequest): Promise<IntakeOutcome>;
}

/** With the trace of the request that caused the call, if it has one. */
export interface Traced<T> {
  readonly about: T;
  readonly trace: TraceHeaders | undefined;
}
