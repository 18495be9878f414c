import { maskSdkKey } from "../access/sdk-key.ts";
import { findUnreadLoginVariables } from "../redis/auth/read-login.ts";
import type { LineLogger } from "../telemetry/logging/logger.ts";
import type { Config } from "./config.ts";
import { findUnknownVariables, type ReadEnvironment, type ReplacedValue } from "./environment.ts";
import { CACHE } from "./groups/cache.ts";
import { LISTENERS } from "./groups/listeners.ts";
import { MONITORING } from "./groups/monitoring.ts";
import { SPECS } from "./groups/specs.ts";
import { TLS } from "./groups/tls.ts";
import { type OptionSpec, parseInteger } from "./option.ts";
import { findSetting, SETTINGS } from "./options.ts";
import { displayUrl, type Environment, type GivenConfig, Settings } from "./settings.ts";
import { findDoubtfulUrls } from "./url.ts";
import { VARIABLES } from "./variables.ts";

interface NoticeOptions {
  readonly given: GivenConfig;
  readonly env: Environment;
  readonly config: Config;
  readonly logger: Pick<LineLogger, "log">;
}

/** Logs what an operator may not expect of a valid configuration. */
export function logNotices(
  options: NoticeOptions,
  { doubtful, replaced }: Omit<ReadEnvironment, "env">,
): void {
  const { env, config, logger } = options;
  for (const fields of findUnknownVariables(env)) {
    logger.log("warn", "unknown environment variable, ignored", { ...fields });
  }
  for (const fields of [...doubtful, ...findDoubtfulUrls(env)]) {
    logger.log("warn", "environment variable is likely wrong", { ...fields });
  }
  logReplacedValues(options, replaced);
  for (const { setting, reason } of findWithoutEffect(options)) {
    logger.log("info", "setting has no effect", { setting, reason });
  }
  logOddKeys(options);
  logConnectionNotices(options);
  logOffline(config, logger);
  const open = config.listeners.filter(({ protocol }) => protocol === "http" || protocol === "grpc");
  const isChosen = new Settings(findSetting(options.given, env)).isGiven(TLS.enforceTls);
  if (config.tls !== undefined && open.length > 0 && !isChosen) {
    const ports = open.map(({ protocol }) => protocol).join(",");
    logger.log("warn", "plaintext ports open beside TLS: --enforce-tls is not set", { ports });
  }
}

/** How many keys a line names. */
const MAX_ODD_KEYS = 5;

/** Keys of other kinds are not refused: upstream may be a server that has its own. */
function logOddKeys({ config, logger }: NoticeOptions): void {
  const odd = config.preloadSdkKeys.filter((key) => !key.startsWith("secret-"));
  if (odd.length === 0) return;
  const sdk_keys = odd.slice(0, MAX_ODD_KEYS).map(maskSdkKey).join(",");
  logger.log("warn", "preloaded keys do not begin with secret-, as server SDK keys do", {
    sdk_keys,
    keys: odd.length,
  });
}

function logConnectionNotices({ config, logger }: NoticeOptions): void {
  const { blobStorageProblem: reason, redis } = config;
  const { connection } = redis;
  if (reason !== undefined) {
    logger.log("warn", "blob storage not used, config specs come from upstream", { reason });
  }
  if (connection.entra !== undefined && connection.tls === undefined) {
    logger.log("warn", "access tokens for Redis are sent without TLS");
  }
}

function logOffline({ bootstrap, events }: Config, logger: NoticeOptions["logger"]): void {
  if (!bootstrap.offline) return;
  const target = events.areDropped ? "dropped" : displayUrl(events.upstreamUrl);
  logger.log("info", "offline, no request is sent to Statsig", { log_events: target });
}

/** Logs the values that are out of the range of this relay and would have been taken by the original proxy. */
export function logReplacedValues(
  { given, env, logger }: Pick<NoticeOptions, "given" | "env" | "logger">,
  replaced: readonly ReplacedValue[] = [],
): void {
  for (const fields of [...findReplacedOptions(given, env), ...replaced]) {
    logger.log("warn", "value out of range, replaced", { ...fields });
  }
}

function findReplacedOptions(given: GivenConfig, env: Environment): readonly ReplacedValue[] {
  const find = findSetting(given, env);
  return SETTINGS.flatMap((option) => {
    const { text, shown: setting } = find(option);
    const used = option.kind === "integer" && text !== "" ? parseInteger(option, text) : undefined;
    return used === undefined || BigInt(text.replace(/^\+/, "")) === BigInt(used)
      ? []
      : [{ setting, given: text, used: String(used) }];
  });
}

function findWithoutEffect({ given, env, config }: NoticeOptions) {
  const settings = new Settings(findSetting(given, env));
  const options = SETTINGS.filter((option) => isVain(option, settings.value(option))).map((option) => ({
    setting: settings.shown(option),
    reason: reasonOf(option),
  }));
  const variables = VARIABLES.filter(({ hasNoEffect }) => hasNoEffect).flatMap((variable) =>
    namesIn(env, variable.name).map((setting) => ({ setting, reason: reasonOf(variable) })),
  );
  return [
    ...[...options, ...variables, ...findUnread(env, config)],
    ...findVainOffline(settings, env, config),
    ...findWithoutPort(settings, config),
  ];
}

/** Returns the option of the debug endpoints if it is set and there is no port that has them. */
function findWithoutPort(settings: Settings, { management }: Config) {
  const { debugEndpoints, managementPort } = LISTENERS;
  if (management !== undefined || !settings.flag(debugEndpoints)) return [];
  return [{ setting: settings.shown(debugEndpoints), reason: `--${managementPort.name} is 0` }];
}

/** Returns what is set in vain because nothing is requested from Statsig. */
function findVainOffline(settings: Settings, env: Environment, { bootstrap, monitoring }: Config) {
  if (!bootstrap.offline) return [];
  const { fleetPolling } = CACHE;
  const { maxStalenessInS, statsigLogging } = MONITORING;
  const vain: (OptionSpec | false)[] = [
    settings.flag(fleetPolling) && fleetPolling,
    settings.isGiven(SPECS.pin) && SPECS.pin,
    settings.integer(maxStalenessInS) > 0 && maxStalenessInS,
    settings.flag(statsigLogging) && monitoring.statsig === undefined && statsigLogging,
  ];
  const options = vain.flatMap((option) => (option === false ? [] : [settings.shown(option)]));
  const names = env["STATSIG_ENDPOINT"] ? [...options, "STATSIG_ENDPOINT"] : options;
  return names.map((setting) => ({ setting, reason: "offline, nothing is requested from Statsig" }));
}

/** Returns the variables that another setting makes meaningless. */
function findUnread(env: Environment, { cache, redis: { connection }, monitoring, profiling }: Config) {
  const name = "STATSIG_SERVER_SDK_KEY";
  const isUnused = env[name] && monitoring.statsig === undefined && profiling.gate === undefined;
  const reason = profiling.cloud.isForced
    ? "--statsig-logging is not set, and --force-gcp-profiling-enabled needs no gate"
    : "it is not a server SDK key";
  const unused = isUnused ? [{ setting: name, reason }] : [];
  const mode = connection.entra === undefined ? "password" : "oauth";
  const logins = cache === "redis" ? findUnreadLoginVariables(env, connection) : [];
  return [...unused, ...logins.map((setting) => ({ setting, reason: `REDIS_AUTH_MODE is ${mode}` }))];
}

/** Whether a value changes nothing. That of a flag that is off is `false`, and that of another option that is not set is empty. */
function isVain({ hasNoEffect, zeroHasEffect }: OptionSpec, value: string): boolean {
  if (!hasNoEffect || value === "" || value === "false") return false;
  return !(zeroHasEffect && value === "0");
}

const reasonOf = ({ description }: { readonly description: string }) =>
  description.replace("No effect: ", "");

/** The original proxy reads these in any case. */
function namesIn(env: Environment, pattern: string): readonly string[] {
  const isPrefix = pattern.endsWith("*");
  const start = pattern.replace("*", "");
  return Object.keys(env).filter(
    (name) => env[name] && (isPrefix ? name.toUpperCase().startsWith(start) : name.toUpperCase() === pattern),
  );
}
