import { setImmediate as nextTurn } from "node:timers/promises";
import { PREFIX } from "./catalog.ts";
import type { MetricRow } from "./metric.ts";
import type { MetricRegistry, Reading } from "./registry.ts";
import { BUCKETS_MS, type Series, type Tags } from "./series.ts";

/** Series that are written without a break, in which no request is answered: less than a millisecond. */
const PARTS_A_TURN = 100;

const BUCKET_ENDS = [...BUCKETS_MS.map(String), "+Inf"];

/**
 * Everything in the text format of Prometheus, 0.0.4. Not by OpenTelemetry's exporter: with many series that takes a
 * third of a second, all at once.
 */
export async function prometheusText(registry: MetricRegistry): Promise<string> {
  const text = new LongText();
  const write = async (heading: string, series: readonly Series[], textOf: (each: Series) => string) => {
    if (series.length > 0) await text.add(heading);
    for (const each of series) await text.add(textOf(each));
  };
  for (const family of registry.families()) {
    const { row } = family;
    const [total, latency] = [nameOf(row, "count_total"), nameOf(row, "latency")];
    if (row.kinds.includes("count"))
      await write(headingOf(row, total, "counter"), [...family.all()], ({ tags, count }) =>
        lineOf(total, labelsOf(tags), count),
      );
    if (row.kinds.includes("latency"))
      await write(headingOf(row, latency, "histogram"), [...family.all()], (series) =>
        histogramOf(latency, series),
      );
  }
  for await (const { row, readings } of registry.readGauges()) await text.add(gaugeOf(row, readings));
  return text.whole();
}

/** Strings that are added to each other are put together when they are read: here, a few at a time. */
class LongText {
  readonly #done: string[] = [];
  #parts: string[] = [];

  async add(part: string): Promise<void> {
    this.#parts.push(part);
    if (this.#parts.length < PARTS_A_TURN) return;
    this.#done.push(this.#parts.join(""));
    this.#parts = [];
    await nextTurn();
  }

  whole(): string {
    return [...this.#done, ...this.#parts].join("");
  }
}

function gaugeOf(row: MetricRow, readings: readonly Reading[]): string {
  if (readings.length === 0) return "";
  const name = nameOf(row, "gauge");
  const lines = readings.map(([tags, value]) => lineOf(name, labelsOf(tags), value));
  return headingOf(row, name, "gauge") + lines.join("");
}

function histogramOf(name: string, { tags, buckets = new Float64Array(), count, sumMs }: Series): string {
  const labels = labelsOf(tags);
  const before = labels === "" ? "" : `${labels},`;
  let text = "";
  let upTo = 0;
  for (const [at, inBucket] of buckets.entries()) {
    upTo += inBucket;
    text += lineOf(`${name}_bucket`, `${before}le="${BUCKET_ENDS[at]}"`, upTo);
  }
  return text + lineOf(`${name}_sum`, labels, sumMs) + lineOf(`${name}_count`, labels, count);
}

/** Dots are not allowed in names. */
function nameOf({ name }: MetricRow, ending: string): string {
  return `${PREFIX.replaceAll(".", "_")}_${name}_${ending}`;
}

function headingOf({ description }: MetricRow, name: string, type: string): string {
  const help = description.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function lineOf(name: string, labels: string, value: number): string {
  return labels === "" ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`;
}

function labelsOf(tags: Tags): string {
  let labels = "";
  for (const [tag, value] of Object.entries(tags)) {
    labels += `${labels === "" ? "" : ","}${tag.replaceAll("-", "_")}="${quoted(value)}"`;
  }
  return labels;
}

function quoted(value: string): string {
  if (!/[\\"\n]/.test(value)) return value;
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
