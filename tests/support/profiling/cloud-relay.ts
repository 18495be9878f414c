import { type ManagedRelay, startManagedRelay } from "../relay/managed-relay.ts";
import type { RelayOptions } from "../relay/relay-process.ts";
import { FakeCloudProfilerApi } from "./cloud-profiler-api.ts";
import { FakeMetadataServer } from "./metadata-server.ts";

/** A relay whose machine has a metadata server and that sends its profiles to a Cloud Profiler, both on loopback. */
export interface CloudRelay extends ManagedRelay {
  readonly api: FakeCloudProfilerApi;
  readonly metadata: FakeMetadataServer;
}

export const FORCED = "--force-gcp-profiling-enabled";

interface CloudRelayOptions extends RelayOptions {
  /** Whether its command line turns the agent on; true by default. */
  readonly isForced?: boolean;
}

/** No machine of a developer must lend its own credentials. */
const NO_HOME = { HOME: "/nonexistent" };

/** The variables with which a relay finds both servers. */
export function cloudEnvironment(
  api: FakeCloudProfilerApi,
  metadata: FakeMetadataServer | undefined,
): Readonly<Record<string, string>> {
  // A port on which nothing listens: as far from Google as a machine can be.
  const host = metadata?.host ?? "127.0.0.1:1";
  return { ...NO_HOME, SFP_GCP_PROFILER_ENDPOINT: api.url, GCE_METADATA_HOST: host };
}

export async function startCloudRelay(
  { isForced = true, ...options }: CloudRelayOptions = {},
  machine: Parameters<typeof FakeMetadataServer.start>[0] = {},
): Promise<CloudRelay> {
  await using starting = new AsyncDisposableStack();
  const metadata = starting.use(await FakeMetadataServer.start(machine));
  const api = starting.use(await FakeCloudProfilerApi.start());
  const env = { ...cloudEnvironment(api, metadata), ...options.env };
  const args = [...(isForced ? [FORCED] : []), ...(options.args ?? [])];
  const managed = starting.use(await startManagedRelay({ mode: "http", ...options, args, env }));
  const running = starting.move();
  return { ...managed, api, metadata, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
