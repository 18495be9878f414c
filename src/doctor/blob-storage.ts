import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import { type BlobSpecs, CONTAINERS } from "../upstream/blob-specs.ts";
import { type Check, type CheckResult, failed, MAX_CHECKED_KEYS, ok, skipped, warning } from "./check.ts";

interface BlobStorageToCheck {
  /** Undefined if config specs come from `STATSIG_ENDPOINT` only. */
  readonly specs: Pick<BlobSpecs, "findBlob"> | undefined;
  /** Why the storage is not used although it is enabled. */
  readonly problem: string | undefined;
  readonly sdkKeys: readonly SdkKey[];
}

/** Checks whether Azure Blob Storage has config specs for each preloaded key. The check of upstream shows whether it responds. */
export function blobStorageCheck({ specs, problem, sdkKeys }: BlobStorageToCheck): Check {
  return {
    name: "blob storage",
    run: async (signal) => {
      if (problem !== undefined) return [notUsed(problem)];
      if (specs === undefined) return [skipped("not used, config specs come from STATSIG_ENDPOINT")];
      if (sdkKeys.length === 0) return [skipped("--preload-sdk-keys is not set")];
      const checked = sdkKeys.slice(0, MAX_CHECKED_KEYS);
      const results = await Promise.all(checked.map((sdkKey) => checkSdkKey(sdkKey, specs, signal)));
      const rest = sdkKeys.length - MAX_CHECKED_KEYS;
      return rest > 0 ? [...results, skipped(`${rest} more`)] : results;
    },
  };
}

function notUsed(problem: string): CheckResult {
  return warning(
    `not used: ${problem}`,
    "correct it, or unset ENABLE_BLOB_STORAGE_FOR_DOWNLOAD_CONFIG_SPECS to take all config specs from STATSIG_ENDPOINT",
  );
}

async function checkSdkKey(
  sdkKey: SdkKey,
  specs: Pick<BlobSpecs, "findBlob">,
  signal: AbortSignal,
): Promise<CheckResult> {
  const shown = maskSdkKey(sdkKey);
  const [v1, v2] = await Promise.all([
    specs.findBlob({ sdkKey, version: "v1" }, signal),
    specs.findBlob({ sdkKey, version: "v2" }, signal),
  ]);
  for (const found of [v1, v2]) {
    if (typeof found === "string") continue;
    return failed(`${shown}: ${found.detail}`, findFix(found.status));
  }
  if (v1 === "missing" && v2 === "missing") {
    return warning(
      `${shown}: no blob in ${CONTAINERS.v1} or ${CONTAINERS.v2}; its config specs come from STATSIG_ENDPOINT`,
      "correct DCS_BLOB_STORAGE_COMPANY_ID, or have blobs written for this SDK key",
    );
  }
  if (v1 === v2) return ok(`${shown}: a blob in ${CONTAINERS.v1} and ${CONTAINERS.v2}`);
  const [there, missing] = v1 === "there" ? (["v1", "v2"] as const) : (["v2", "v1"] as const);
  return ok(`${shown}: a blob in ${CONTAINERS[there]}, none in ${CONTAINERS[missing]}`);
}

function findFix(status: number | undefined): string {
  if (status === undefined) return "see the check named upstream";
  return "correct AccountKey in DCS_BLOB_STORAGE_CONNECTION_STRING, this machine's clock, or the network rules of the account";
}
