import { ConfigError, type Environment } from "./settings.ts";

const MAX_WHOLE = 1_000_000_000;

/** A whole number from a variable of the original proxy, which is no option. Throws ConfigError. */
export function readWhole(
  env: Environment,
  name: string,
  {
    otherwise,
    min,
    max = MAX_WHOLE,
  }: { readonly otherwise: number; readonly min: number; readonly max?: number },
): number {
  const given = env[name];
  if (!given) return otherwise;
  const value = /^\d{1,10}$/.test(given) ? Number(given) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new ConfigError(`${name} is "${given}", allowed is a whole number from ${min} to ${max}`);
}
