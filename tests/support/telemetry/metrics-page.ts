import { rawGet } from "../clients/raw-get.ts";
import type { RelayProcess } from "../relay/relay-process.ts";

/** One line of `/metrics`. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Everything that a relay with a management port shows to Prometheus. */
export async function readMetrics(relay: RelayProcess): Promise<readonly Sample[]> {
  const { body } = await rawGet(`${relay.urlOf("management")}/metrics`);
  const lines = body.toString().matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm);
  return Array.from(lines, ([, name = "", labels = "", value]) => {
    const pairs = labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
    return {
      name,
      labels: Object.fromEntries(Array.from(pairs, ([, label = "", text = ""]) => [label, text])),
      value: Number(value),
    };
  });
}

/** Of all series of a metric; of those alone whose labels are these, where given. */
export function sumOf(
  samples: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const wanted = Object.entries(labels);
  return samples
    .filter((sample) => sample.name === `statsig_forward_proxy_${name}`)
    .filter((sample) => wanted.every(([label, value]) => sample.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0);
}
