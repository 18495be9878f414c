import { setImmediate as nextTurn } from "node:timers/promises";
import { PREFIX } from "./catalog.ts";
import type { MetricRow } from "./metric.ts";
import type { MetricRegistry, Reading } from "./registry.ts";
import { BUCKETS_MS, type Series, type Tags } from "./series.ts";

/** The number of series formatted per turn of the event loop: less than a millisecond, in which no request is served. */
const PARTS_PER_TURN = 100;

const BUCKET_ENDS = [...BUCKETS_MS.map(String), "+Inf"];

/**
 * Formats all metrics in the text format of Prometheus, 0.0.4. OpenTelemetry's exporter is not used: with many series it
 * blocks the thread for a third of a second.
 */
export async function formatPrometheus(registry: MetricRegistry): Promise<string> {
  const text = new LongText();
  const write = async (heading: string, series: readonly Series[], format: (each: Series) => string) => {
    if (series.length > 0) await text.add(heading);
    for (const each of series) await text.add(format(each));
  };
  await registry.collect();
  for (const family of registry.families()) {
    const { row } = family;
    const [total, latency] = [formatName(row, "count_total"), formatName(row, "latency")];
    if (row.kinds.includes("count"))
      await write(formatHeading(row, total, "counter"), [...family.all()], ({ tags, count }) =>
        formatLine(total, formatLabels(tags), count),
      );
    if (row.kinds.includes("latency"))
      await write(formatHeading(row, latency, "histogram"), [...family.all()], (series) =>
        formatHistogram(latency, series),
      );
  }
  for await (const { row, readings } of registry.readGauges()) await text.add(formatGauge(row, readings));
  return text.whole();
}

/** Concatenated strings are flattened when they are read, which blocks the thread. This flattens a few at a time. */
class LongText {
  readonly #done: string[] = [];
  #parts: string[] = [];

  async add(part: string): Promise<void> {
    this.#parts.push(part);
    if (this.#parts.length < PARTS_PER_TURN) return;
    this.#done.push(this.#parts.join(""));
    this.#parts = [];
    await nextTurn();
  }

  whole(): string {
    return [...this.#done, ...this.#parts].join("");
  }
}

function formatGauge(row: MetricRow, readings: readonly Reading[]): string {
  if (readings.length === 0) return "";
  const name = formatName(row, "gauge");
  const lines = readings.map(([tags, value]) => formatLine(name, formatLabels(tags), value));
  return formatHeading(row, name, "gauge") + lines.join("");
}

function formatHistogram(name: string, { tags, buckets = new Float64Array(), count, sumMs }: Series): string {
  const labels = formatLabels(tags);
  const before = labels === "" ? "" : `${labels},`;
  let text = "";
  let upTo = 0;
  for (const [at, inBucket] of buckets.entries()) {
    upTo += inBucket;
    text += formatLine(`${name}_bucket`, `${before}le="${BUCKET_ENDS[at]}"`, upTo);
  }
  return text + formatLine(`${name}_sum`, labels, sumMs) + formatLine(`${name}_count`, labels, count);
}

/** Replaces the dots, which Prometheus does not allow in names. */
function formatName({ name }: MetricRow, ending: string): string {
  return `${PREFIX.replaceAll(".", "_")}_${name}_${ending}`;
}

function formatHeading({ description }: MetricRow, name: string, type: string): string {
  const help = description.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function formatLine(name: string, labels: string, value: number): string {
  return labels === "" ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`;
}

function formatLabels(tags: Tags): string {
  let labels = "";
  for (const [tag, value] of Object.entries(tags)) {
    labels += `${labels === "" ? "" : ","}${tag.replaceAll("-", "_")}="${escapeLabel(value)}"`;
  }
  return labels;
}

function escapeLabel(value: string): string {
  if (!/[\\"\n]/.test(value)) return value;
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
