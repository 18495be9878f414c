import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import type { Feed } from "../specs/feed.ts";
import type { SpecPreparer } from "../specs/payload/preparer.ts";
import type { PreparedPayload } from "../specs/snapshot.ts";
import { NOTHING_HELD, type SpecSource } from "../specs/source.ts";
import { type Check, type CheckResult, failed, MAX_CHECKED_KEYS, ok, skipped, warning } from "./check.ts";

interface OtherEndpoint {
  readonly shownUrl: string;
  readonly source: SpecSource;
}

interface SdkKeysToCheck {
  readonly sdkKeys: readonly SdkKey[];
  readonly source: SpecSource;
  /** Further endpoints, which are used while the first one fails. */
  readonly others: readonly OtherEndpoint[];
  readonly openPreparer: () => SpecPreparer;
}

const CHECK_ENDPOINT = "check that STATSIG_ENDPOINT is an upstream that serves config specs";

/** Checks whether upstream has valid config specs for each preloaded key. */
export function sdkKeysCheck({ sdkKeys, source, others, openPreparer }: SdkKeysToCheck): Check {
  return {
    name: "SDK keys",
    run: async (signal) => {
      if (sdkKeys.length === 0) return [skipped("--preload-sdk-keys is not set")];
      await using preparer = openPreparer();
      const checked = sdkKeys.slice(0, MAX_CHECKED_KEYS);
      const results = await Promise.all(
        checked.map((sdkKey) => checkSdkKey(sdkKey, source, preparer, signal)),
      );
      results.push(...(await checkOthers(checked, others, signal)));
      const rest = sdkKeys.length - MAX_CHECKED_KEYS;
      return rest > 0 ? [...results, skipped(`${rest} more`)] : results;
    },
  };
}

/** One result for each further endpoint. */
function checkOthers(
  sdkKeys: readonly SdkKey[],
  others: readonly OtherEndpoint[],
  signal: AbortSignal,
): Promise<readonly CheckResult[]> {
  const check = async ({ shownUrl, source }: OtherEndpoint): Promise<CheckResult> => {
    const lacking: string[] = [];
    for (const sdkKey of sdkKeys) {
      const fetched = await source.fetchSpecs(
        { sdkKey, version: "v2", format: "json" },
        NOTHING_HELD,
        signal,
      );
      if (fetched.kind !== "payload") lacking.push(maskSdkKey(sdkKey));
    }
    if (lacking.length === 0) return ok(`${shownUrl} has config specs of all of them`);
    const fix = "while the first endpoint fails, these keys are not updated: check the endpoint and its keys";
    return warning(`${shownUrl} has no config specs of ${lacking.join(", ")}`, fix);
  };
  return Promise.all(others.map(check));
}

async function checkSdkKey(
  sdkKey: SdkKey,
  source: SpecSource,
  preparer: SpecPreparer,
  signal: AbortSignal,
): Promise<CheckResult> {
  const found = await findPayload({ sdkKey, version: "v2", format: "json" }, { source, preparer, signal });
  if ("detail" in found) return failed(found.detail, found.fix);
  const { lcut, bytes } = found;
  return ok(`${maskSdkKey(sdkKey)}: ${bytes.length} bytes, version of ${new Date(lcut).toISOString()}`);
}

interface PayloadParts {
  readonly source: SpecSource;
  readonly preparer: SpecPreparer;
  readonly signal: AbortSignal;
}

interface PayloadProblem {
  readonly detail: string;
  readonly fix: string;
}

/** Returns what upstream has for a feed, or why that cannot be served. */
export async function findPayload(
  feed: Feed,
  { source, preparer, signal }: PayloadParts,
): Promise<PreparedPayload | PayloadProblem> {
  const shown = maskSdkKey(feed.sdkKey);
  const fetched = await source.fetchSpecs(feed, NOTHING_HELD, signal);
  const problem = (detail: string, fix: string) => ({ detail: `${shown}${detail}`, fix });
  switch (fetched.kind) {
    case "unauthorized":
      return problem(
        ` is rejected by upstream (${fetched.status})`,
        "use a server SDK key of the project, for the right environment",
      );
    case "failed":
      return problem(`: ${fetched.detail}`, "see the check named upstream");
    case "refused":
      return problem(`: upstream sent an invalid config spec: ${fetched.detail}`, CHECK_ENDPOINT);
    case "no_update":
      return problem(": upstream sent no config specs", CHECK_ENDPOINT);
    case "payload": {
      const prepared = await preparer.prepare(fetched.raw);
      if (prepared.kind === "prepared") return prepared.payload;
      const detail = "detail" in prepared ? prepared.detail : "no config specs";
      return problem(`: upstream sent an invalid config spec: ${detail}`, CHECK_ENDPOINT);
    }
  }
}
