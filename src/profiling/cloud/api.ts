import { sendRequest } from "#runtime/requests.ts";
import { abortAfter } from "../../platform/abort.ts";
import type { Clock } from "../../platform/clock.ts";
import { readBoundedText } from "../../platform/content/bounded-text.ts";
import { parseJson } from "../../platform/content/json.ts";
import { describeNetworkError } from "../../platform/network-errors.ts";
import type { SendOptions } from "../../platform/runtime/requests.ts";

/** The names in the API of the profiles that the relay takes. */
const PROFILE_TYPES = ["CPU", "HEAP"];

/** What profiles are grouped by: `Deployment` of the API. */
export interface Deployment {
  readonly projectId: string;
  /** The name of the service. */
  readonly target: string;
  /** Equal on all replicas of one version in one zone, since the server has one interval for each deployment. */
  readonly labels: Readonly<Record<string, string>>;
}

/** A profile that the server asks for. */
export interface RequestedProfile {
  /** `projects/{project}/profiles/{id}`. */
  readonly name: string;
  readonly kind: "cpu" | "heap";
  /** In seconds; undefined for a heap. */
  readonly seconds: number;
}

/** What the server answered to the wish to make a profile. */
type CreateOutcome =
  | { readonly kind: "created"; readonly profile: RequestedProfile }
  /** It is not this relay's turn: normal if there are several replicas. */
  | { readonly kind: "later"; readonly delayMs: number }
  /** It asks for what this relay cannot make. */
  | { readonly kind: "unknown"; readonly reason: string }
  | ApiFailure;

type UploadOutcome = { readonly kind: "uploaded" } | ApiFailure;

export interface ApiFailure {
  readonly kind: "failed";
  /** Undefined if there was no answer. */
  readonly status?: number;
  /** One line without secrets: the codes of the answer, or of the connection. */
  readonly reason: string;
  /** What to do, if that is known. */
  readonly fix?: string;
  /** How long the server wants to be left alone. */
  readonly delayMs?: number;
}

/** The signed headers of one request. */
type SignedHeaders = Readonly<Record<string, string>>;

interface ApiOptions {
  /** Without `/v2`. */
  readonly endpoint: string;
  readonly relayVersion: string;
  readonly clock: Clock;
}

/**
 * How long the server may hold the wish for a profile. It says that it answers after about a minute, and agents are to wait for an hour.
 * A connection that is dead is found earlier: the runtime probes it after a minute of silence (SO_KEEPALIVE).
 */
const MAX_HOLD_MS = 65 * 60_000;

/** A profile has some 100 KB. */
const UPLOAD_LIMIT_MS = 60_000;

const REACH_LIMIT_MS = 5_000;

const MAX_ANSWER_BYTES = 256 * 1024;

/**
 * The part of the Cloud Profiler API that agents use: `ProfilerService` in google/devtools/cloudprofiler/v2/profiler.proto, as JSON.
 * Every failure is a value: the promises reject only when `signal` is aborted.
 */
export class CloudProfilerApi {
  readonly #endpoint: string;
  readonly #userAgent: string;
  readonly #clock: Clock;

  constructor({ endpoint, relayVersion, clock }: ApiOptions) {
    this.#clock = clock;
    this.#endpoint = `${endpoint}/v2`;
    this.#userAgent = `statsig-forward-proxy/${relayVersion}`;
  }

  /** Waits until the server wants a profile of this deployment. */
  async create(deployment: Deployment, signed: SignedHeaders, signal: AbortSignal): Promise<CreateOutcome> {
    const { projectId } = deployment;
    const path = `projects/${encodeURIComponent(projectId)}/profiles`;
    const body = { deployment, profileType: PROFILE_TYPES };
    const answer = await this.#send("POST", path, { body, signed, limitMs: MAX_HOLD_MS }, signal);
    if (answer.kind === "failed") return answer;
    if (answer.status === 200) return readProfile(answer.json, projectId);
    const failure = readFailure(answer);
    // 409 is ABORTED: no profile is due.
    return answer.status === 409 && failure.delayMs !== undefined
      ? { kind: "later", delayMs: failure.delayMs }
      : failure;
  }

  /** `bytes` is a gzipped pprof. `labels` are those of this process, beside those of its deployment. */
  async upload(
    { name }: RequestedProfile,
    { bytes, labels }: { readonly bytes: Uint8Array; readonly labels: Readonly<Record<string, string>> },
    signed: SignedHeaders,
    signal: AbortSignal,
  ): Promise<UploadOutcome> {
    const body = { name, profileBytes: Buffer.from(bytes).toString("base64"), labels };
    const path = `${name}?updateMask=profileBytes,labels`;
    const answer = await this.#send("PATCH", path, { body, signed, limitMs: UPLOAD_LIMIT_MS }, signal);
    if (answer.kind === "failed") return answer;
    return answer.status === 200 ? { kind: "uploaded" } : readFailure(answer);
  }

  /** Resolves with why the server cannot be reached, or undefined if it answers anything. */
  async findProblem(signal: AbortSignal): Promise<ApiFailure | undefined> {
    const answer = await this.#send("GET", "", { signed: {}, limitMs: REACH_LIMIT_MS }, signal);
    return answer.kind === "failed" ? answer : undefined;
  }

  async #send(
    method: "GET" | "POST" | "PATCH",
    path: string,
    {
      body,
      signed,
      limitMs,
    }: { readonly body?: object; readonly signed: SignedHeaders; readonly limitMs: number },
    signal: AbortSignal,
  ): Promise<Answer | ApiFailure> {
    const limit = new AbortController();
    const limited = AbortSignal.any([signal, limit.signal]);
    abortAfter(limit, limitMs, this.#clock);
    const headers = { ...signed, "content-type": "application/json", "user-agent": this.#userAgent };
    const request: SendOptions = {
      ...{ method, headers, signal: limited },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      // A header has the access token, which must not be sent to another host.
      redirect: "manual",
      // Bun would end a request that is silent for five minutes.
      timeout: false,
    };
    try {
      const response = await sendRequest(`${this.#endpoint}/${path}`, request);
      return {
        kind: "answered",
        status: response.status,
        json: parseJson((await readBoundedText(response, MAX_ANSWER_BYTES)) ?? ""),
      };
    } catch (error) {
      signal.throwIfAborted();
      if (limit.signal.aborted) return { kind: "failed", reason: `no answer within ${limitMs / 1_000} s` };
      return { kind: "failed", reason: `no answer: ${describeNetworkError(error)}` };
    } finally {
      limit.abort();
    }
  }
}

interface Answer {
  readonly kind: "answered";
  readonly status: number;
  /** Undefined if the body is not JSON. */
  readonly json: unknown;
}

/** Fields of any value, so that what the server answers is read without trust. */
function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

/** The longest profile that the relay takes. The server asks for 10 s. */
const MAX_SECONDS = 60;

function readProfile(json: unknown, projectId: string): CreateOutcome {
  const { name, profileType, duration } = fieldsOf(json);
  // The name becomes part of a URL.
  const [, project, id] = /^projects\/([^/]+)\/profiles\/([\w.:-]+)$/.exec(String(name)) ?? [];
  if (project === undefined || id === undefined || /^\.+$/.test(id)) {
    return { kind: "failed", reason: "the answer to the request for a profile names none" };
  }
  const profile = { name: `projects/${encodeURIComponent(project)}/profiles/${id}` };
  if (project !== projectId && !/^\d+$/.test(project)) {
    return { kind: "failed", reason: "the answer to the request for a profile names another project" };
  }
  switch (profileType) {
    case "HEAP":
      return { kind: "created", profile: { ...profile, kind: "heap", seconds: 0 } };
    case "CPU": {
      const ms = parseDuration(duration);
      if (ms === undefined || ms <= 0 || ms > MAX_SECONDS * 1_000) {
        return {
          kind: "unknown",
          reason: `CPU profile of ${show(duration)} (expected up to ${MAX_SECONDS}s)`,
        };
      }
      return { kind: "created", profile: { ...profile, kind: "cpu", seconds: ms / 1_000 } };
    }
    default:
      return { kind: "unknown", reason: `profile type ${show(profileType)}` };
  }
}

function show(value: unknown): string {
  return value === undefined ? "unknown" : String(JSON.stringify(value)).slice(0, MAX_SHOWN_CHARS);
}

const MAX_SHOWN_CHARS = 40;

/** Other delays are not trusted. */
const MIN_NAMED_DELAY_MS = 1_000;
const MAX_NAMED_DELAY_MS = 24 * 3_600_000;

/** Reads google.rpc.Status: its code, the reason of google.rpc.ErrorInfo, and the delay of google.rpc.RetryInfo. */
function readFailure({ status, json }: Answer): ApiFailure {
  const { status: code, details } = fieldsOf(fieldsOf(json)["error"]);
  const parts = Array.isArray(details) ? details.map(fieldsOf) : [];
  const words = [code, ...parts.map(({ reason }) => reason)].filter(
    (word): word is string => typeof word === "string" && /^[A-Z0-9_]{1,60}$/.test(word),
  );
  const [delayMs] = parts.map(({ retryDelay }) => parseDuration(retryDelay)).filter((ms) => ms !== undefined);
  return {
    kind: "failed",
    status,
    reason: [`Cloud Profiler answered ${status}`, words.join(", ")].filter(Boolean).join(": "),
    ...(delayMs !== undefined && delayMs > 0 && { delayMs: clamp(delayMs) }),
  };
}

const clamp = (delayMs: number) => Math.min(Math.max(delayMs, MIN_NAMED_DELAY_MS), MAX_NAMED_DELAY_MS);

/** Returns the ms of a google.protobuf.Duration in JSON, such as `10s` or `0.5s`. */
function parseDuration(value: unknown): number | undefined {
  const [, seconds] = /^(-?\d{1,12}(?:\.\d{1,9})?)s$/.exec(String(value)) ?? [];
  return seconds === undefined ? undefined : Number(seconds) * 1_000;
}

/** Returns what to do about a request that failed because of the project or its roles. */
export function findFix({ status, reason }: ApiFailure, about: ApiCaller): string | undefined {
  if (status !== FORBIDDEN) return undefined;
  const { projectId } = about.deployment;
  if (reason.includes(API_DISABLED)) return `enable cloudprofiler.googleapis.com in project ${projectId}`;
  const account = about.credentials.account ?? "the account of the credentials";
  return `grant roles/cloudprofiler.agent to ${account} in project ${projectId}`;
}

interface ApiCaller {
  readonly deployment: Deployment;
  readonly credentials: { readonly account: string | undefined };
}

const FORBIDDEN = 403;

/** A reason of google.rpc.ErrorInfo. */
const API_DISABLED = "SERVICE_DISABLED";
