import { maskSdkKey, type SdkKey } from "../../../src/access/sdk-key.ts";
import type { FeedStatus, StatusReport } from "../../../src/telemetry/status/schema.ts";
import { eventually } from "../common/wait.ts";
import type { ManagedRelay } from "../relay/managed-relay.ts";

export const masked = (sdkKey: string): string => maskSdkKey(sdkKey as SdkKey);

export function feedOf(
  report: StatusReport,
  sdkKey: string,
  { version, format }: Pick<FeedStatus, "version" | "format"> = { version: "v2", format: "json" },
): FeedStatus {
  const found = report.feeds.find(
    (feed) => feed.sdk_key === masked(sdkKey) && feed.version === version && feed.format === format,
  );
  if (found === undefined) throw new Error(`no feed ${masked(sdkKey)} ${version} ${format}`);
  return found;
}

export const problemsOf = ({ problems }: StatusReport): readonly (readonly string[])[] =>
  problems.map(({ kind, text }) => [kind, text]);

/** Waits for a report that passes the checks, and returns it. */
export function reported(
  managed: ManagedRelay,
  check: (report: StatusReport) => void,
  withinMs = 20_000,
): Promise<StatusReport> {
  return eventually(
    async () => {
      const report = await managed.status();
      check(report);
      return report;
    },
    { withinMs, everyMs: 100 },
  );
}
