import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import type { SpecPreparer } from "../specs/payload/preparer.ts";
import type { SpecSource } from "../specs/source.ts";
import { type Check, type CheckResult, failed, ok, skipped } from "./check.ts";

interface SdkKeysToCheck {
  readonly sdkKeys: readonly SdkKey[];
  readonly source: SpecSource;
  readonly openPreparer: () => SpecPreparer;
}

/** Of many, so many are enough to see. */
const MAX_CHECKED = 20;

const LOOK_AT_ENDPOINT = "see what STATSIG_ENDPOINT leads to";

/** Whether upstream has config specs for each preloaded key, which can be served. */
export function sdkKeysCheck({ sdkKeys, source, openPreparer }: SdkKeysToCheck): Check {
  return {
    name: "SDK keys",
    run: async (signal) => {
      if (sdkKeys.length === 0) return [skipped("none is given by --preload-sdk-keys")];
      await using preparer = openPreparer();
      const checked = sdkKeys.slice(0, MAX_CHECKED);
      const findings = await Promise.all(checked.map((sdkKey) => judge(sdkKey, source, preparer, signal)));
      const rest = sdkKeys.length - MAX_CHECKED;
      return rest > 0 ? [...findings, skipped(`${rest} more`)] : findings;
    },
  };
}

async function judge(
  sdkKey: SdkKey,
  source: SpecSource,
  preparer: SpecPreparer,
  signal: AbortSignal,
): Promise<CheckResult> {
  const shown = maskSdkKey(sdkKey);
  const fetched = await source.fetchSpecs({ sdkKey, version: "v2", format: "json" }, 0, signal);
  switch (fetched.kind) {
    case "unauthorized":
      return failed(
        `${shown} is not accepted by upstream (${fetched.status})`,
        "take the secret server key of the project's settings, in its right environment",
      );
    case "failed":
      return failed(`${shown}: ${fetched.detail}`, "see the check of upstream");
    case "refused":
      return failed(`${shown}: what upstream sent can't be served: ${fetched.detail}`, LOOK_AT_ENDPOINT);
    case "no_update":
      return failed(`${shown}: upstream sent no config specs`, LOOK_AT_ENDPOINT);
    case "payload": {
      const prepared = await preparer.prepare(fetched.raw);
      if (prepared.kind === "prepared") {
        const { lcut, bytes } = prepared.payload;
        return ok(`${shown}: ${bytes.length} bytes, of ${new Date(lcut).toISOString()}`);
      }
      const detail = "detail" in prepared ? prepared.detail : "no config specs";
      return failed(`${shown}: what upstream sent can't be served: ${detail}`, LOOK_AT_ENDPOINT);
    }
  }
}
