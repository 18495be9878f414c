import { rawGet } from "../clients/raw-get.ts";
import type { RelayProcess } from "../relay/relay-process.ts";

/** One line of `/metrics`. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A reading does not wait for longer for the counts of a busy serving thread: they are in a later one. */
const COLLECTED_AFTER_MS = 60;

/** Reads all samples from the management port of a relay. */
export async function readMetrics(relay: RelayProcess): Promise<readonly Sample[]> {
  await rawGet(`${relay.urlOf("management")}/metrics`);
  await Bun.sleep(COLLECTED_AFTER_MS);
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

/** Sums the values of a metric over all series, or over the series with the given labels. */
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
