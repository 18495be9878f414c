import type { AuthClient } from "google-auth-library";
import { untilAborted } from "../../platform/abort.ts";
import { describeNetworkError } from "../../platform/network-errors.ts";
import { type MetadataPresence, type MetadataReading, type MetadataServer, NO_VALUE } from "./metadata.ts";

/** What requests to Google's APIs are signed with. */
export interface Credentials {
  /** Where they come from. */
  readonly source: "metadata server" | "file";
  /** The service account, to which roles are granted. Undefined if the credentials do not name one. */
  readonly account: string | undefined;
  /** The project that the credentials or the machine belong to. Undefined if neither names one. */
  readonly project: string | undefined;
  /** Resolves with `authorization` and what else belongs to it. A token is kept until it nears its end. */
  headers(signal: AbortSignal): Promise<HeadersOutcome>;
}

type CredentialsOutcome =
  | { readonly kind: "found"; readonly credentials: Credentials; readonly machine: MetadataPresence }
  | CredentialsFailure;

type HeadersOutcome =
  | { readonly kind: "headers"; readonly headers: Readonly<Record<string, string>> }
  | CredentialsFailure;

export interface CredentialsFailure {
  readonly kind: "failed";
  /** One line without secrets. */
  readonly reason: string;
  readonly fix: string;
}

/** The least that Cloud Profiler's API accepts, and one that virtual machines have by default. */
const SCOPE = "https://www.googleapis.com/auth/monitoring.write";

/** A server of tokens that does not answer must not stop the relay from asking it again later. */
const LIMIT_MS = 30_000;

/**
 * Looks for Application Default Credentials: the file of GOOGLE_APPLICATION_CREDENTIALS, that of the gcloud command, and the metadata
 * server, in this order (https://google.aip.dev/auth/4110). The library for it is loaded here. Rejects only when `signal` is aborted.
 */
export async function findCredentials(
  metadata: MetadataServer,
  signal: AbortSignal,
): Promise<CredentialsOutcome> {
  const [library, machine] = await Promise.all([import("google-auth-library"), metadata.find(signal)]);
  /** The library's own look-up of the metadata server is remembered for the life of the process, also if it fails. */
  class Auth extends library.GoogleAuth {
    override async _checkIsGCE(): Promise<boolean> {
      return machine.kind === "present";
    }
  }
  // With a project, the library does not look for one, which can take requests to other APIs.
  const auth = new Auth({ scopes: [SCOPE], projectId: "-" });
  try {
    const client = await within(auth.getClient(), signal);
    const isMachine = client instanceof library.Compute;
    const project = await readProject(client, machine, metadata, signal);
    const account: MetadataReading = isMachine
      ? await metadata.read("instance/service-accounts/default/email", signal)
      : { kind: "read", value: findAccount(client, library) };
    if (project.kind === "failed") return describeUnread(project.reason);
    if (account.kind === "failed") return describeUnread(account.reason);
    const source = isMachine ? "metadata server" : "file";
    const headers = (until: AbortSignal) => readHeaders(client, until);
    const named = { account: account.value, project: project.value };
    return { kind: "found", machine, credentials: { source, ...named, headers } };
  } catch (error) {
    signal.throwIfAborted();
    return { kind: "failed", ...describeMissing(error, machine) };
  }
}

async function readProject(
  { projectId }: AuthClient,
  machine: MetadataPresence,
  metadata: MetadataServer,
  signal: AbortSignal,
): Promise<MetadataReading> {
  if (projectId) return { kind: "read", value: projectId };
  return machine.kind === "absent" ? NO_VALUE : await metadata.read("project/project-id", signal);
}

type Library = typeof import("google-auth-library");

function findAccount(client: AuthClient, library: Library): string | undefined {
  if (client instanceof library.JWT) return client.email;
  if (client instanceof library.Impersonated) return client.getTargetPrincipal();
  if (client instanceof library.BaseExternalAccountClient) {
    return client.getServiceAccountEmail() ?? undefined;
  }
  return undefined;
}

async function readHeaders(client: AuthClient, signal: AbortSignal): Promise<HeadersOutcome> {
  try {
    const headers = await within(client.getRequestHeaders(), signal);
    return { kind: "headers", headers: Object.fromEntries(headers) };
  } catch (error) {
    signal.throwIfAborted();
    const fix = isUnreachable(error) ? REACH_TOKENS : CHECK_ACCOUNT;
    return { kind: "failed", reason: `no access token: ${describeFailure(error)}`, fix };
  }
}

function within<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return untilAborted(work, AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]));
}

/** What the machine does not say now would be missing in all later profiles. */
export function describeUnread(reason: string): CredentialsFailure {
  const fix = "check that this machine reaches its metadata server";
  return { kind: "failed", reason: `the metadata server cannot be read (${reason})`, fix };
}

const HOW_TO = "set GOOGLE_APPLICATION_CREDENTIALS to the JSON file of a service account";
const CHECK_ACCOUNT = "check that the account and its key exist, and the clock of this machine";
const REACH_TOKENS =
  "allow connections to the server of tokens (oauth2.googleapis.com, or those that the file of credentials names), or set HTTPS_PROXY";

/** The library has no codes for its own errors: those with neither a response nor a code are about the file. */
function describeMissing(
  error: unknown,
  machine: MetadataPresence,
): Pick<CredentialsFailure, "reason" | "fix"> {
  const { message = "", code, response } = error as LibraryError;
  if (/default credentials/i.test(message)) {
    const why = machine.kind === "present" ? "" : ` (${machine.reason})`;
    const what = machine.kind === "failing" ? "the metadata server fails" : "there is no metadata server";
    return { reason: `no credentials: no file is given, and ${what}${why}`, fix: HOW_TO };
  }
  if (response === undefined && code !== undefined && FILE_CODES.includes(code)) {
    const reason = `GOOGLE_APPLICATION_CREDENTIALS cannot be read (${code})`;
    return {
      reason,
      fix: code === "EACCES" ? "let the user of the relay read the file and its folder" : HOW_TO,
    };
  }
  if (/GOOGLE_APPLICATION_CREDENTIALS/.test(message)) {
    return { reason: "GOOGLE_APPLICATION_CREDENTIALS is not a file with credentials", fix: HOW_TO };
  }
  return { reason: `credentials cannot be used: ${describeFailure(error)}`, fix: HOW_TO };
}

const FILE_CODES: readonly string[] = ["ENOENT", "EACCES", "EISDIR", "ENOTDIR", "ELOOP"];

interface LibraryError {
  readonly message?: string;
  readonly name?: string;
  readonly code?: string;
  readonly response?: { readonly status?: number; readonly data?: unknown };
}

/** Whether there was no answer. An invalid key fails with a code of OpenSSL. */
function isUnreachable(error: unknown): boolean {
  const { name, code, response } = error as LibraryError;
  if (response !== undefined) return false;
  return name === "TimeoutError" || (code !== undefined && !code.startsWith("ERR_OSSL_"));
}

/** Returns what a server of tokens answered, by its codes alone, or why there was no answer. */
function describeFailure(error: unknown): string {
  const { name, response } = error as LibraryError;
  if (response?.status !== undefined) {
    const { error: code } = (response.data ?? {}) as { readonly error?: unknown };
    const shown = typeof code === "string" && /^[a-z_]{1,40}$/.test(code) ? `: ${code}` : "";
    return `the server of tokens answered ${response.status}${shown}`;
  }
  if (name === "TimeoutError") return `the server of tokens did not answer within ${LIMIT_MS / 1_000} s`;
  return describeNetworkError(error);
}
