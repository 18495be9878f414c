import { backoffMs } from "../../platform/backoff.ts";
import type { Clock } from "../../platform/clock.ts";
import { encodePprof } from "../pprof.ts";
import type { Profiler } from "../profiler.ts";
import { type ApiFailure, type CloudProfilerApi, findFix, type RequestedProfile } from "./api.ts";
import type { CloudProfilerSource, EmitCloudProfilerEvent } from "./events.ts";
import type { MetadataServer } from "./metadata.ts";
import { openSession, type ProfiledService, type Session } from "./session.ts";

/** Whether profiles reach Google. */
export interface ExportHealth {
  /** `detail` is one line that says why. */
  failed(detail: string): void;
  worked(): void;
  /** Called with the number of profiles that were taken in vain. */
  dropped(count: number): void;
}

export interface CloudAgentOptions {
  readonly service: ProfiledService;
  readonly api: CloudProfilerApi;
  readonly metadata: MetadataServer;
  readonly profiler: Pick<Profiler, "takeCpu" | "takeHeap">;
  readonly clock: Clock;
  readonly emit: EmitCloudProfilerEvent;
  readonly health: ExportHealth;
  readonly source: CloudProfilerSource;
}

/** Between two failures in a row, unless the server names a delay. As in the agents of Google, from a minute to an hour. */
const FIRST_RETRY_MS = 60_000;
const MAX_RETRY_MS = 3_600_000;

/** After each profile, so that no server can keep this process busy with profiles. */
const PAUSE_MS = 10_000;

/** Before an upload that failed is tried once more. */
const UPLOAD_RETRY_MS = 10_000;

/**
 * The export counts as failing until an upload works, or Google has answered requests for this long since: in a large fleet the next
 * profile of this relay is hours away.
 */
const FORGET_UPLOAD_MS = 15 * 60_000;

/**
 * A heap profile pauses a thread for about 1.3 µs per object. The main thread serves no clients, and has 90,000 objects before it has
 * done anything.
 */
const HEAP_LIMITS = { maxObjectsPerThread: 100_000, maxObjectsOfMain: 250_000 };

/** Takes profiles when Google Cloud Profiler asks for them. */
export class CloudAgent {
  readonly #options: CloudAgentOptions;
  #session: Session | undefined;
  #failures = 0;
  #hasStarted = false;
  #uploads = 0;
  /** That of the last upload, and since when Google has answered requests after it. Undefined if it worked, or that is long ago. */
  #uploadFailure: { readonly detail: string; answeredSince: number | undefined } | undefined;
  /** Why the export fails, as last reported; undefined if it works. */
  #reported: string | undefined;

  constructor(options: CloudAgentOptions) {
    this.#options = options;
  }

  /** Waits until a profile is wanted, makes and uploads it, and waits before the next request. Rejects when `signal` is aborted. */
  async round(signal: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(await this.#step(signal), signal);
  }

  /** Resolves with the ms to wait. */
  async #step(signal: AbortSignal): Promise<number> {
    const { api, emit } = this.#options;
    const created = await this.#signed(
      ({ deployment }, headers) => api.create(deployment, headers, signal),
      signal,
    );
    switch (created.kind) {
      case "failed":
        return this.#failed(created);
      case "unknown":
        emit({ kind: "cloud_profile_skipped", reason: created.reason });
        return this.#backOff();
      case "later":
        this.#answered();
        return created.delayMs;
      case "created":
        this.#answered();
        await this.#deliver(created.profile, signal);
        return PAUSE_MS;
    }
  }

  /** A profile that cannot be uploaded is dropped: the next one is as good. Of what may pass, it is tried once more. */
  async #deliver(profile: RequestedProfile, signal: AbortSignal): Promise<void> {
    const { profiler, clock, emit, health } = this.#options;
    const startedAt = clock.elapsed();
    const { kind, seconds } = profile;
    const taken =
      kind === "cpu"
        ? await profiler.takeCpu({ seconds, signal, wait: true })
        : await profiler.takeHeap({ signal, wait: true, ...HEAP_LIMITS });
    const bytes = await encodePprof(taken);
    let uploaded = await this.#upload(profile, bytes, signal);
    if (uploaded.kind === "failed" && mayPass(uploaded)) {
      await clock.sleep(UPLOAD_RETRY_MS, signal);
      uploaded = await this.#upload(profile, bytes, signal);
    }
    if (uploaded.kind === "failed") {
      const detail = `upload of a profile: ${this.#describe(uploaded)}`;
      this.#uploadFailure = { detail, answeredSince: undefined };
      health.dropped(1);
      this.#report(detail);
      return;
    }
    this.#uploadFailure = undefined;
    this.#report(undefined);
    const isFirst = ++this.#uploads === 1;
    const tookMs = clock.elapsed() - startedAt;
    emit({ kind: "cloud_profile_uploaded", profile: kind, bytes: bytes.byteLength, tookMs, isFirst });
  }

  /** A request for a profile was answered. That alone is no recovery if the last profile could not be uploaded. */
  #answered(): void {
    this.#failures = 0;
    const now = this.#options.clock.elapsed();
    if (this.#uploadFailure !== undefined) {
      this.#uploadFailure.answeredSince ??= now;
      if (now - this.#uploadFailure.answeredSince >= FORGET_UPLOAD_MS) this.#uploadFailure = undefined;
    }
    const detail = this.#uploadFailure?.detail;
    // A failure is reported again only if requests failed in between.
    if (detail === undefined || detail !== this.#reported) this.#report(detail);
  }

  /** Reports why the export fails, or that it works. */
  #report(detail: string | undefined): void {
    this.#reported = detail;
    const { health } = this.#options;
    if (detail === undefined) health.worked();
    else health.failed(detail);
  }

  #upload(profile: RequestedProfile, bytes: Uint8Array, signal: AbortSignal) {
    const { api } = this.#options;
    return this.#signed(
      ({ labels }, headers) => api.upload(profile, { bytes, labels }, headers, signal),
      signal,
    );
  }

  /** Sends a request, and once more with new credentials if the server rejects those that were in use. */
  async #signed<T extends { readonly kind: string }>(
    send: (session: Session, headers: Readonly<Record<string, string>>) => Promise<T | ApiFailure>,
    signal: AbortSignal,
  ): Promise<T | ApiFailure> {
    const wasOpen = this.#session !== undefined;
    const first = await this.#sendOnce(send, signal);
    const isRejected = "status" in first && first.status === UNAUTHORIZED;
    if (!isRejected || !wasOpen) return first;
    this.#session = undefined;
    return this.#sendOnce(send, signal);
  }

  async #sendOnce<T>(
    send: (session: Session, headers: Readonly<Record<string, string>>) => Promise<T | ApiFailure>,
    signal: AbortSignal,
  ): Promise<T | ApiFailure> {
    const session = this.#session ?? (await this.#open(signal));
    if (session.kind === "failed") return session;
    this.#session = session;
    const signed = await session.credentials.headers(signal);
    if (signed.kind === "headers") return send(session, signed.headers);
    // The file may have been replaced in the meantime.
    this.#session = undefined;
    return signed;
  }

  async #open(signal: AbortSignal): Promise<Session | ApiFailure> {
    const { metadata, service, emit, source } = this.#options;
    const session = await openSession(service, metadata, signal);
    if (session.kind === "failed" || this.#hasStarted) return session;
    this.#hasStarted = true;
    const { credentials, deployment, zone } = session;
    const { source: from, account } = credentials;
    const facts = { ...service, project: deployment.projectId, zone, credentials: from, account };
    emit({ kind: "cloud_profiler_started", source, ...facts });
    return session;
  }

  #failed(failure: ApiFailure): number {
    if (this.#uploadFailure !== undefined) this.#uploadFailure.answeredSince = undefined;
    this.#report(this.#describe(failure));
    // Roles may be granted to another account meanwhile, which the machine then has.
    if (failure.status === FORBIDDEN || failure.status === UNAUTHORIZED) this.#session = undefined;
    const backOffMs = this.#backOff();
    return failure.delayMs ?? backOffMs;
  }

  #describe(failure: ApiFailure): string {
    const fix = failure.fix ?? (this.#session && findFix(failure, this.#session));
    return fix === undefined ? failure.reason : `${failure.reason}; ${fix}`;
  }

  #backOff(): number {
    return backoffMs({ attempt: this.#failures++, firstMs: FIRST_RETRY_MS, maxMs: MAX_RETRY_MS });
  }
}

/** Whether a failure is one of the network or the server, not of the request. */
function mayPass({ status }: ApiFailure): boolean {
  return status === undefined || status === TOO_MANY_REQUESTS || status >= 500;
}

const TOO_MANY_REQUESTS = 429;
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;
