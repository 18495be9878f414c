import { systemClock } from "../platform/clock.ts";
import { CloudProfilerApi, findFix } from "../profiling/cloud/api.ts";
import { MetadataServer } from "../profiling/cloud/metadata.ts";
import { openSession, type ProfiledService, type Session } from "../profiling/cloud/session.ts";
import { type Check, type CheckResult, failed, ok, skipped } from "./check.ts";

interface CloudProfilerToCheck extends ProfiledService {
  readonly isForced: boolean;
  readonly endpoint: string;
  readonly metadataHost: string;
}

/** The server refuses at once, and otherwise holds the request until a profile is due. */
const ASK_MS = 2_000;

/** Checks the credentials and the role that Google Cloud Profiler requires. No profile is taken. */
export function cloudProfilerCheck(cloud: CloudProfilerToCheck): Check {
  return {
    name: "cloud profiler",
    run: async (signal) => {
      if (!cloud.isForced) return [skipped("--force-gcp-profiling-enabled is not set")];
      const session = await openSession(cloud, new MetadataServer(cloud.metadataHost), signal);
      if (session.kind === "failed") return [failed(session.reason, session.fix)];
      const { credentials, deployment } = session;
      const signed = await credentials.headers(signal);
      if (signed.kind === "failed") return [failed(signed.reason, signed.fix)];
      const { projectId: project, target } = deployment;
      const shown = `token for ${credentials.account ?? "an account"} from the ${credentials.source}`;
      const asked = await ask(cloud, session, signed.headers, signal);
      return [ok(`service ${target} in project ${project}, ${shown}`), asked];
    },
  };
}

async function ask(
  { endpoint, version: relayVersion }: CloudProfilerToCheck,
  session: Session,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<CheckResult> {
  const api = new CloudProfilerApi({ endpoint, relayVersion, clock: systemClock });
  // A request that is held looks like one that is lost.
  const unreachable = await api.findProblem(signal);
  if (unreachable !== undefined) return failed(unreachable.reason, REACH);
  const enough = AbortSignal.timeout(ASK_MS);
  try {
    const asked = await api.create(session.deployment, headers, AbortSignal.any([signal, enough]));
    if (asked.kind !== "failed") return ok("Cloud Profiler takes profiles");
    return failed(asked.reason, findFix(asked, session) ?? asked.fix ?? REACH);
  } catch (error) {
    if (enough.aborted && !signal.aborted) return ok("Cloud Profiler takes profiles");
    throw error;
  }
}

const REACH = "check that this machine, or its proxy, reaches the address of Cloud Profiler";
