import { METRICS, PREFIX } from "../../../src/telemetry/metrics/catalog.ts";

/** The labels of the series of each metric, by the name that Prometheus has. */
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

/** Returns the metrics and labels of an expression that no relay has. */
export function unknownIn(expr: string): readonly string[] {
  const names = [...expr.matchAll(/\bstatsig_forward_proxy_\w+/g)].map(([name]) => name);
  const labels = [
    ...[...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, matchers = ""]) => labelsOfMatchers(matchers)),
    ...[...expr.matchAll(/\b(?:by|on|without) \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(/,\s*/)),
  ];
  const known = new Set([...TARGET_LABELS, ...names.flatMap((name) => LABELS_OF.get(name) ?? [])]);
  return [...names.filter((name) => !LABELS_OF.has(name)), ...labels.filter((label) => !known.has(label))];
}

/** Checks each selector on its own, since a label may exist for one metric of the expression and not for another. */
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

/** Returns the selectors of an expression: the metrics of the relay, with their matchers if any. */
export function selectorsIn(expr: string): readonly string[] {
  return [...expr.matchAll(/\bstatsig_forward_proxy_\w+(?:\{[^}]*\})?/g)].map(([selector]) => selector);
}

/**
 * Returns the metrics whose increase an expression takes although each version is a series of its own. Their increase is
 * always 0.
 */
export function growthOfVersionsIn(expr: string): readonly string[] {
  const grown = [...expr.matchAll(/\b(?:rate|irate|increase|delta)\((statsig_forward_proxy_\w+)/g)];
  return grown.flatMap(([, name = ""]) => (LABELS_OF.get(name)?.includes("lcut") ? [name] : []));
}
