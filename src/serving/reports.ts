import type { EmitRpcEvent } from "../grpc/events.ts";
import type { EmitHttpEvent, RequestHeaders } from "../http/observer.ts";
import type { Clock } from "../platform/clock.ts";
import { describeError } from "../platform/errors.ts";
import type { TaskName } from "../platform/supervisor.ts";
import type { EmitLimitEvent } from "../server/limits.ts";
import type { EmitTlsEvent } from "../server/tls-events.ts";
import { ThreadEventBatch } from "./event-batch.ts";
import type { FromServing, ServingSetup } from "./messages.ts";
import { RequestCounts } from "./request-counts.ts";
import { RpcCounts } from "./rpc-counts.ts";
import { SdkCounts } from "./sdk-counts.ts";

interface ReportsOptions extends Pick<ServingSetup, "metrics" | "settings"> {
  /** Whether the HTTP requests of the thread come over TLS. */
  readonly isHttps: boolean;
  readonly clock: Clock;
  readonly holds: ConstructorParameters<typeof RequestCounts>[0]["holds"];
  readonly send: (message: FromServing) => void;
}

/** What a thread counted within this time is lost if it dies. */
const SEND_COUNTS_EVERY_MS = 500;

/** What the control plane learns of the clients of one thread: counts, events and unexpected errors. */
export class Reports {
  readonly requests: RequestCounts;
  readonly emitLimit: EmitLimitEvent = (event) => this.#events.add({ kind: "limit", event });
  readonly emitTls: EmitTlsEvent = (event) => this.#events.add({ kind: "tls", event });
  readonly emitRpc: EmitRpcEvent = (event) => this.#rpcs.add(event);
  readonly #emitHttp: EmitHttpEvent = (event) => this.#events.add({ kind: "http", event });
  readonly #events: ThreadEventBatch;
  readonly #rpcs: RpcCounts;
  readonly #sdks = new SdkCounts();
  readonly #send: ReportsOptions["send"];
  #isDebug: boolean;

  constructor({ clock, metrics, settings, isHttps, holds, send }: ReportsOptions) {
    const { isPushing } = metrics;
    const { isDebug } = settings;
    this.#send = send;
    this.#isDebug = isDebug;
    this.#events = new ThreadEventBatch({ clock, send });
    const protocol = isHttps ? "https" : "http";
    const onSdk = (headers: RequestHeaders) => this.#sdks.add(headers, protocol);
    this.requests = new RequestCounts({ ...metrics, holds, onSdk });
    const emit = this.#events.add.bind(this.#events);
    this.#rpcs = new RpcCounts({ isPushing, isDebug, emit: (event) => emit({ kind: "rpc", event }) });
    setInterval(() => this.sendCounts(false), SEND_COUNTS_EVERY_MS).unref();
  }

  /** The receiver of one event per request; undefined unless each is logged. */
  get emitHttp(): EmitHttpEvent | undefined {
    return this.#isDebug ? this.#emitHttp : undefined;
  }

  /** Whether every request and RPC is logged. */
  setDebug(isDebug: boolean): void {
    this.#isDebug = isDebug;
    this.#rpcs.setDebug(isDebug);
  }

  /** Counts a call over gRPC by the SDK that sent it. */
  countGrpcSdk(headers: RequestHeaders): void {
    this.#sdks.add(headers, "grpc");
  }

  /** Reports an unexpected error, which the thread survives. */
  fault(task: TaskName, error: unknown): void {
    this.#send({ kind: "fault", task, error: describeError(error) });
  }

  /** Sends what was counted since the last time, and in any case something if it `isReply`. */
  sendCounts(isReply: boolean): void {
    this.#events.flush();
    const [requests, rpcs, sdks] = [this.requests.take(), this.#rpcs.take(), this.#sdks.take()];
    if (isReply || requests.length > 0 || rpcs.length > 0 || sdks.length > 0)
      this.#send({ kind: "counted", requests, rpcs, sdks, isReply });
  }
}
