import { BootstrapFiles } from "../bootstrap/files.ts";
import { BootstrapRecovery } from "../bootstrap/recovery.ts";
import type { Config } from "../config/config.ts";
import { StartError } from "../config/settings.ts";
import type { Clock } from "../platform/clock.ts";
import type { Supervisor } from "../platform/supervisor.ts";
import type { KnownVersions } from "../specs/deltas/compute.ts";
import type { Feed } from "../specs/feed.ts";
import type { SpecPreparer } from "../specs/payload/preparer.ts";
import type { SpecStore } from "../specs/store.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";

interface BootstrapParts {
  readonly clock: Clock;
  readonly supervisor: Supervisor;
  readonly telemetry: Pick<Telemetry, "bootstrap">;
}

/**
 * Opens `--bootstrap-path`; resolves with undefined if it is not set. Offline, throws a StartError if there is nothing to serve. Otherwise
 * files are a last resort, whose lack keeps no relay from starting: it is logged, and shown on the status page.
 */
export async function openBootstrap(
  { bootstrap: { path, offline }, maxPayloadBytes: maxBytes }: Config,
  { clock, supervisor, telemetry }: BootstrapParts,
): Promise<BootstrapFiles | undefined> {
  if (path === undefined) return undefined;
  const files = new BootstrapFiles({ path, maxBytes, clock, supervisor, emit: telemetry.bootstrap.emit });
  if (!offline) return files;
  await files.opened;
  const { problem } = files.catalog;
  if (problem === undefined) return files;
  await files[Symbol.asyncDispose]();
  throw new StartError(`nothing to serve offline in --bootstrap-path ${path}: ${problem}`);
}

interface RecoveryParts extends BootstrapParts {
  readonly files: BootstrapFiles;
  readonly store: SpecStore;
  readonly preparer: SpecPreparer;
  readonly findKnown: (feed: Feed) => Promise<KnownVersions | undefined>;
  readonly telemetry: Pick<Telemetry, "bootstrap" | "specs">;
  /** Returns the feeds that are read again when files change. */
  readonly wanted: () => readonly Feed[];
}

/** Brings what files have to memory, and what they have later for the same feeds. */
export function recoverFromFiles(
  { maxKeys }: Config,
  { telemetry, supervisor, wanted, ...parts }: RecoveryParts,
): BootstrapRecovery {
  const { emit: emitBootstrap } = telemetry.bootstrap;
  const recovery = new BootstrapRecovery({ ...parts, maxKeys, emit: telemetry.specs.emit, emitBootstrap });
  parts.files.onChange(() => void supervisor.task("bootstrap_update", () => recovery.update(wanted())));
  return recovery;
}

/** Returns the feeds whose versions are from files, and which upstream has not confirmed: a newer file replaces them. */
export function listFromFiles(store: SpecStore): readonly Feed[] {
  const isFromFile = (source: string, confirmedAt: number | undefined) =>
    source === "bootstrap" && confirmedAt === undefined;
  return [...store.held()]
    .filter(({ snapshot, confirmedAt }) => isFromFile(snapshot.source, confirmedAt))
    .map(({ feed }) => feed);
}
