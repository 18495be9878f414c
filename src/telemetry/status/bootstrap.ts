import type { BootstrapTelemetry } from "../topics/bootstrap.ts";
import type { FoundProblem } from "./next-steps.ts";
import { type BootstrapStatus, toIsoOrNull } from "./schema.ts";

/** Limit of files that are listed. */
const MAX_LISTED = 20;

/** Returns the status of the files below `path`. */
export function formatBootstrap(
  path: string,
  { usable, unusable, failed, readAt }: BootstrapTelemetry,
): BootstrapStatus {
  return {
    path,
    files: usable,
    unusable_files: unusable.length,
    unusable: unusable.slice(0, MAX_LISTED).map(({ name: file, reason }) => ({ file, reason })),
    reason: failed?.reason ?? null,
    read_at: toIsoOrNull(readAt),
  };
}

export function* bootstrapProblems({
  unusable,
  unusableSince,
  failed,
}: BootstrapTelemetry): Iterable<FoundProblem> {
  const [first] = unusable;
  const common = { kind: "bootstrap_unusable", severity: "warning" } as const;
  if (failed !== undefined) {
    const text = "--bootstrap-path has nothing to serve, or cannot be read";
    yield { ...common, text, since: toIsoOrNull(failed.since), detail: failed.reason };
  } else if (first !== undefined) {
    const count = unusable.length === 1 ? "1 file" : `${unusable.length} files`;
    const text = `${count} in --bootstrap-path cannot be served`;
    const detail = `${first.name}: ${first.reason}`;
    yield { ...common, text, since: toIsoOrNull(unusableSince), detail };
  }
}
