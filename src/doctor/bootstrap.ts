import { maskSdkKey, type SdkKey } from "../access/sdk-key.ts";
import { BootstrapCatalog, namesKey } from "../bootstrap/catalog.ts";
import { listFiles } from "../bootstrap/folder.ts";
import type { Config } from "../config/config.ts";
import { systemClock } from "../platform/clock.ts";
import { Supervisor } from "../platform/supervisor.ts";
import { type Check, type CheckResult, failed, ok, skipped, warning } from "./check.ts";

/** Limit of files and SDK keys that are listed one by one. */
const MAX_LISTED = 20;

/** Checks which files of `--bootstrap-path` can be served, and offline whether each preloaded key has one. */
export function bootstrapCheck({ bootstrap, maxPayloadBytes: maxBytes, preloadSdkKeys }: Config): Check {
  const { path, offline } = bootstrap;
  return {
    name: "bootstrap files",
    run: async () => {
      if (path === undefined) return [skipped("--bootstrap-path is not set")];
      const supervisor = new Supervisor({ clock: systemClock, emit: () => {} });
      const catalog = new BootstrapCatalog({ supervisor, maxBytes });
      await catalog.update(await listFiles(path, maxBytes));
      const problems = catalog.unusable
        .slice(0, MAX_LISTED)
        .map(({ name, reason }) =>
          warning(`${name}: ${reason}`, "save it again from upstream, or remove it"),
        );
      if (catalog.problem !== undefined) return [...problems, nothingToServe(catalog.problem, offline)];
      const keys = offline ? preloadSdkKeys.slice(0, MAX_LISTED).map((key) => keyResult(key, catalog)) : [];
      return [describeUsable(catalog), ...problems, ...keys];
    },
  };
}

function nothingToServe(reason: string, offline: boolean): CheckResult {
  const report = offline ? failed : warning;
  return report(
    `nothing to serve in --bootstrap-path: ${reason}`,
    "check the path and the mount, and save config specs there with curl or dump",
  );
}

function describeUsable({ usable, unusable }: BootstrapCatalog): CheckResult {
  const count = `${usable.length} of ${usable.length + unusable.length} files can be served`;
  const unnamed = usable.filter((file) => !namesKey(file)).length;
  return ok(
    unnamed === 0 ? count : `${count}; ${unnamed} of them name no SDK key, and serve every allowed key`,
  );
}

function keyResult(sdkKey: SdkKey, catalog: BootstrapCatalog): CheckResult {
  const versions = (["v1", "v2"] as const).filter(
    (version) => catalog.find({ sdkKey, version, format: "proto" }).length > 0,
  );
  const shown = maskSdkKey(sdkKey);
  return versions.length > 0
    ? ok(`${shown}: a file for ${versions.join(" and ")}`)
    : failed(
        `${shown}: no file has its config specs`,
        "save them there, or remove the key from --preload-sdk-keys",
      );
}

/** Checks that need Statsig. */
const NEED_STATSIG: ReadonlySet<string> = new Set([
  ...["DNS", "proxy", "upstream", "blob storage", "SDK keys", "ID lists", "profiling gate", "clock"],
]);

/** Returns the checks of what the relay needs: offline, that does not include Statsig. */
export function withoutStatsig(checks: readonly Check[], { bootstrap, events }: Config): readonly Check[] {
  if (!bootstrap.offline) return checks;
  return checks.filter(
    ({ name }) => !NEED_STATSIG.has(name) && !(events.areDropped && name === "log events"),
  );
}
