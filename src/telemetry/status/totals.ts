import type { MetricRegistry } from "../metrics/metric-registry.ts";
import type { CountName } from "../metrics/metric-table.ts";

/** Counted of all keys together since the start, but for those that were forgotten. */
export function totalOf(registry: MetricRegistry, name: CountName): number {
  let total = 0;
  for (const family of registry.families()) {
    if (family.row.name !== name) continue;
    for (const { count } of family.all()) total += count;
  }
  return total;
}
