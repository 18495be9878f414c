import type { Deployment } from "./api.ts";
import { type Credentials, type CredentialsFailure, describeUnread, findCredentials } from "./credentials.ts";
import { type MetadataServer, NO_VALUE } from "./metadata.ts";

/** What profiles are labelled with. */
export interface ProfiledService {
  readonly service: string;
  readonly version: string;
  /** Undefined if the credentials or the machine have to name it. */
  readonly project: string | undefined;
}

/** What is known of the deployment once there are credentials. */
export interface Session {
  readonly kind: "session";
  readonly credentials: Credentials;
  readonly deployment: Deployment;
  /** Undefined outside Google Cloud. */
  readonly zone: string | undefined;
  /** Those of this process alone: replicas of one deployment differ in them. */
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * Finds credentials, and asks the machine where it is. Fails if the machine has a metadata server that does not say: the labels of all
 * profiles depend on it. Rejects only when `signal` is aborted.
 */
export async function openSession(
  { service: target, version, project: given }: ProfiledService,
  metadata: MetadataServer,
  signal: AbortSignal,
): Promise<Session | CredentialsFailure> {
  const found = await findCredentials(metadata, signal);
  if (found.kind === "failed") return found;
  const { credentials, machine } = found;
  const projectId = given ?? credentials.project;
  if (projectId === undefined) {
    const reason = "neither the credentials nor the machine name a project";
    return { kind: "failed", reason, fix: "set --gcp-profiler-project" };
  }
  const read = (path: string) => (machine.kind === "absent" ? NO_VALUE : metadata.read(path, signal));
  const [zonePath, instance] = await Promise.all([read("instance/zone"), read("instance/name")]);
  if (zonePath.kind === "failed") return describeUnread(zonePath.reason);
  if (instance.kind === "failed") return describeUnread(instance.reason);
  // It is `projects/{number}/zones/{zone}`.
  const zone = zonePath.value?.split("/").at(-1);
  const labels = { language: LANGUAGE, version, ...(zone !== undefined && { zone }) };
  return {
    ...{ kind: "session", credentials, zone },
    deployment: { projectId, target, labels },
    labels: instance.value === undefined ? {} : { instance: instance.value },
  };
}

/**
 * The API lists the languages of Google's agents. Google documents CPU profiles for Go, Java and Python, and not for Node.js; the
 * original proxy, which is written in Rust, sends this one as well.
 */
const LANGUAGE = "go";
