import { BLOB_STORAGE_VARIABLES } from "./groups/blob-storage.ts";
import { REDIS_VARIABLES } from "./groups/cache.ts";
import { METRIC_VARIABLES } from "./groups/monitoring.ts";
import { OTLP_VARIABLES } from "./groups/otlp.ts";
import { clamp, type DoubtfulVariable, nearestName } from "./option.ts";
import { environmentNames, SETTINGS } from "./options.ts";
import { readProxies } from "./proxies.ts";
import { findServiceLinks, isServiceLink } from "./service-links.ts";
import type { Environment } from "./settings.ts";
import { STATSIG_VARIABLES, VARIABLES } from "./variables.ts";

/** A value that the original proxy takes, and the one that this relay takes instead. */
export interface ReplacedValue {
  readonly setting: string;
  readonly given: string;
  readonly used: string;
}

export interface ReadEnvironment {
  readonly env: Environment;
  readonly replaced: readonly ReplacedValue[];
  readonly doubtful: readonly DoubtfulVariable[];
}

/**
 * Returns the environment as the rest of the relay reads it: variables that the original proxy reads in any case are there under their
 * names in upper case, and whole numbers that it takes are within the range of this relay. Service links of Kubernetes and proxies that
 * cannot be used are not there.
 */
export function readEnvironment(given: Environment): ReadEnvironment {
  const links = findServiceLinks(given, isKnown);
  const { env, doubtful } = readProxies(without(given, new Set(links.map(({ variable }) => variable))));
  const named = withUpperCaseNames(env);
  const replaced = Object.entries(RANGES).flatMap(([setting, [min, max]]) => {
    const text = named[setting] ?? "";
    if (!/^\d{1,20}$/.test(text)) return [];
    const used = clamp(Number(text), min, max);
    return used === Number(text) ? [] : [{ setting, given: text, used: String(used) }];
  });
  const within = replaced.map(({ setting, used }) => [setting, used] as const);
  return { env: { ...named, ...Object.fromEntries(within) }, replaced, doubtful: [...links, ...doubtful] };
}

function without(env: Environment, names: ReadonlySet<string>): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !names.has(name)));
}

/** The original proxy reads these in any case. */
const ANY_CASE = [
  ...STATSIG_VARIABLES,
  ...BLOB_STORAGE_VARIABLES,
  ...REDIS_VARIABLES,
  ...METRIC_VARIABLES,
  ...OTLP_VARIABLES,
];

/**
 * A name in upper case overrides other spellings. Of several other spellings, the one that sorts last counts, and lower case sorts
 * last.
 */
function withUpperCaseNames(env: Environment): Environment {
  const added = Object.keys(env)
    .sort()
    .map((name) => [name.toUpperCase(), env[name]] as const)
    .filter(([upper, value]) => value && IN_ANY_CASE.has(upper) && !env[upper]);
  return { ...env, ...Object.fromEntries(added) };
}

/** The ranges of this relay for variables that the original proxy sets to any whole number. */
const RANGES: Readonly<Record<string, readonly [min: number, max: number]>> = {
  LOG_EVENT_DEDUPE_CACHE_LIMIT: [0, 50_000_000],
  DATADOG_MAX_BATCH_TIME_MS: [100, 1_000_000_000],
  DATADOG_MAX_BATCH_EVENT_COUNT: [1, 100_000],
  DATADOG_SENDER_BUFFER_SIZE: [1, 1_000_000_000],
  DOGSTATSD_MAX_BUFFER_SIZE: [512, 65_507],
  DOGSTATSD_MAX_TIME_MS: [1, 1_000_000_000],
  DOGSTATSD_MAX_RETRY_ATTEMPT: [0, 20],
  DOGSTATSD_INITIAL_RETRY_DELAY: [0, 60_000],
};

const KNOWN: ReadonlySet<string> = new Set([
  ...SETTINGS.flatMap(environmentNames),
  ...VARIABLES.map(({ name }) => name),
]);

const IN_ANY_CASE: ReadonlySet<string> = new Set(ANY_CASE.map(({ name }) => name));

const isKnown = (name: string): boolean => KNOWN.has(name) || IN_ANY_CASE.has(name.toUpperCase());

/** A variable that is likely mistyped. */
interface UnknownVariable {
  readonly variable: string;
  /** The name that was likely meant. */
  readonly nearest?: string;
}

/** Returns the variables that have our prefix in any case but no meaning, except service links of Kubernetes. */
export function findUnknownVariables(env: Environment): readonly UnknownVariable[] {
  const unknown = Object.keys(env).filter(
    (name) => /^SFP_/i.test(name) && !isKnown(name) && !isServiceLink(name, env[name]),
  );
  return unknown.map((variable) => {
    const nearest = nearestName(variable, [...KNOWN]);
    return { variable, ...(nearest !== undefined && { nearest }) };
  });
}
