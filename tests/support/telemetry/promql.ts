import { METRICS, PREFIX } from "../../../src/telemetry/metrics/catalog.ts";

/** As Prometheus has them: which labels a series of each name carries. */
const LABELS_OF = new Map(
  METRICS.flatMap(({ name, kinds, tags }) => {
    const labels = tags.map((tag) => tag.replaceAll("-", "_"));
    const first = `${PREFIX.replaceAll(".", "_")}_${name}`;
    return kinds.flatMap((kind): [string, readonly string[]][] => {
      if (kind === "count") return [[`${first}_count_total`, labels]];
      if (kind === "gauge") return [[`${first}_gauge`, labels]];
      return [
        [`${first}_latency_bucket`, [...labels, "le"]],
        [`${first}_latency_sum`, labels],
        [`${first}_latency_count`, labels],
      ];
    });
  }),
);

const TARGET_LABELS = ["job", "instance"];

/** What an expression names that no relay has: metrics, and labels of these; empty where all is well. */
export function unknownIn(expr: string): readonly string[] {
  const names = [...expr.matchAll(/\bstatsig_forward_proxy_\w+/g)].map(([name]) => name);
  const labels = [
    ...[...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, matchers = ""]) => labelsOfMatchers(matchers)),
    ...[...expr.matchAll(/\b(?:by|on|without) \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(/,\s*/)),
  ];
  const known = new Set([...TARGET_LABELS, ...names.flatMap((name) => LABELS_OF.get(name) ?? [])]);
  return [...names.filter((name) => !LABELS_OF.has(name)), ...labels.filter((label) => !known.has(label))];
}

/** Each selector for itself: a label that is right for another metric of the same expression is wrong here. */
export function wrongMatchersIn(expr: string): readonly string[] {
  const selectors = [...expr.matchAll(/\b(statsig_forward_proxy_\w+)\{([^}]*)\}/g)];
  return selectors.flatMap(([, name = "", matchers = ""]) => {
    const known = [...TARGET_LABELS, ...(LABELS_OF.get(name) ?? [])];
    return labelsOfMatchers(matchers).flatMap((label) =>
      known.includes(label) ? [] : [`${name}: ${label}`],
    );
  });
}

function labelsOfMatchers(matchers: string): string[] {
  return [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, label = ""]) => label);
}

/** What an expression reads: each metric of the relay with its matchers, or without. */
export function selectorsIn(expr: string): readonly string[] {
  return [...expr.matchAll(/\bstatsig_forward_proxy_\w+(?:\{[^}]*\})?/g)].map(([selector]) => selector);
}

/**
 * Metrics that an expression takes the increase of although their versions are series of their own: it is always 0,
 * since a series that is new has none.
 */
export function growthOfVersionsIn(expr: string): readonly string[] {
  const grown = [...expr.matchAll(/\b(?:rate|irate|increase|delta)\((statsig_forward_proxy_\w+)/g)];
  return grown.flatMap(([, name = ""]) => (LABELS_OF.get(name)?.includes("lcut") ? [name] : []));
}
