import { withConfigFile } from "../config/file.ts";
import { BLOB_STORAGE_VARIABLES } from "../config/groups/blob-storage.ts";
import { CACHE } from "../config/groups/cache.ts";
import { LISTENERS, MANAGEMENT_TOKEN } from "../config/groups/listeners.ts";
import { LOGGING } from "../config/groups/logging.ts";
import { SPECS } from "../config/groups/specs.ts";
import type { OptionSpec } from "../config/option.ts";
import { environmentNames, findSetting } from "../config/options.ts";
import { PROXY_NAMES } from "../config/proxies.ts";
import type { Environment, GivenConfig } from "../config/settings.ts";
import { STATSIG_VARIABLES } from "../config/variables.ts";
import { type Announce, type DemoParts, runDemo } from "../demo/demo.ts";

const FROM_ENVIRONMENT: ReadonlySet<string> = new Set([
  ...[...Object.values(LISTENERS), ...Object.values(LOGGING)].flatMap(environmentNames),
  MANAGEMENT_TOKEN,
]);

interface DemoPorts {
  readonly env: Environment;
  /** Runs a relay until it is stopped, and resolves with its exit code. Calls `announce` once it serves. */
  readonly serve: (given: GivenConfig, env: Environment, announce: Announce) => Promise<number>;
}

/** Runs a relay with the sample upstream, and resolves with its exit code. Options that are given override those of the demo. */
export async function runRelayDemo(given: GivenConfig, { env, serve }: DemoPorts): Promise<number> {
  const kept = toDemoEnvironment(env);
  const config = await withConfigFile(given, kept);
  return await runDemo((parts, announce) => {
    const isDefault = (option: OptionSpec) => findSetting(config, kept)(option).source === "default";
    const added = demoOptions(parts).filter(([option]) => isDefault(option));
    const values = new Map([...config.values, ...added.map(([{ name }, value]) => [name, value] as const)]);
    const hasBackup = values.has(CACHE.localCachePath.name) || !isDefault(CACHE.localCachePath);
    const demo: GivenConfig = {
      ...config,
      values,
      mode: "grpc-and-http",
      cache: hasBackup ? "local" : "disabled",
    };
    const upstream = { STATSIG_ENDPOINT: parts.upstreamUrl, LOG_EVENT_STATSIG_ENDPOINT: parts.upstreamUrl };
    return serve(demo, { ...kept, ...upstream }, announce);
  });
}

function demoOptions({ sdkKey, folder }: DemoParts): readonly (readonly [OptionSpec, string])[] {
  return [
    [SPECS.preloadSdkKeys, sdkKey],
    [SPECS.pollingIntervalInS, "1"],
    // Changes of the project are what a demo shows; a start has a dozen lines.
    [LOGGING.logLevel, "warn"],
    ...(folder === undefined ? [] : [[CACHE.localCachePath, folder] as const]),
  ];
}

/** Upstream of a real relay, and proxies to it: the sample upstream is on this machine. */
const NOT_OF_DEMO: ReadonlySet<string> = new Set([
  ...[...STATSIG_VARIABLES, ...BLOB_STORAGE_VARIABLES].map(({ name }) => name),
  ...PROXY_NAMES,
]);

/** Returns the environment without what is meant for a real relay, such as its folders, keys and upstream. Ports, log settings and the token of the operator API stay. */
function toDemoEnvironment(env: Environment): Environment {
  const isKept = (name: string) => !/^SFP_/i.test(name) || FROM_ENVIRONMENT.has(name);
  return Object.fromEntries(Object.entries(env).filter(([name]) => isKept(name) && !NOT_OF_DEMO.has(name)));
}
