// The tables of metrics in docs/monitoring.md, from the metrics themselves and the alerts that watch them.
import { join } from "node:path";
import type { MetricRow } from "../src/telemetry/metrics/metric.ts";
import { ORIGINAL_METRICS } from "../src/telemetry/metrics/original-metrics.ts";
import { FLOW_METRICS, PROCESS_METRICS } from "../src/telemetry/metrics/own-metrics.ts";
import { type AlertRule, readAlertRules } from "./alert-rules.ts";
import { root } from "./command.ts";

const DOCUMENT = join(root, "docs/monitoring.md");
const START = "<!-- by `bun run gen`, from src/telemetry/metrics -->";
const END = "<!-- up to here -->";

const TABLES: readonly (readonly [heading: string, rows: readonly MetricRow[]])[] = [
  ["Metrics of the original proxy", ORIGINAL_METRICS],
  ["Config specs, backup, streams, log events, ID lists", FLOW_METRICS],
  ["Limits, certificates, process, monitoring", PROCESS_METRICS],
];

/** Puts the tables into the document. */
export async function writeMetricTables(): Promise<void> {
  await Bun.write(DOCUMENT, await withTables(await Bun.file(DOCUMENT).text()));
}

/** Whether the document has the tables as they would be written. */
export async function metricTablesAreCurrent(): Promise<boolean> {
  const document = await Bun.file(DOCUMENT).text();
  if (document === (await withTables(document))) return true;
  console.error("docs/monitoring.md has other metrics than src/telemetry/metrics: run `bun run gen`");
  return false;
}

async function withTables(document: string): Promise<string> {
  const rules = await readAlertRules();
  const [before, rest] = document.split(START);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`docs/monitoring.md has no "${START}"`);
  const tables = TABLES.map(([heading, rows]) => tableOf(heading, rows, rules));
  return `${before}${START}\n\n${tables.join("\n\n")}\n\n${END}${after}`;
}

function tableOf(heading: string, rows: readonly MetricRow[], rules: readonly AlertRule[]): string {
  const lines = rows.map(({ name, kinds, tags, description }) => {
    const cells = [
      `\`${name}\``,
      kinds.map((kind) => kindAndUnit(name, kind)).join("; "),
      tags.map((tag) => `\`${tag}\``).join(", "),
      description,
      alertsOn(name, rules).join(", "),
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return [`### ${heading}`, "", "| metric | kind | tags | meaning | alerts |", "|---|---|---|---|---|"]
    .concat(lines)
    .join("\n");
}

/** Units are the last part of a name; a latency is in ms whatever it is called. */
function kindAndUnit(name: string, kind: MetricRow["kinds"][number]): string {
  if (kind === "latency") return "latency, ms";
  const unit = [
    ["Bytes", "bytes"],
    ["Ms", "ms"],
    ["S", "s"],
  ].find(([ending = ""]) => name.endsWith(ending))?.[1];
  return unit === undefined ? kind : `${kind}, ${unit}`;
}

function alertsOn(name: string, rules: readonly AlertRule[]): string[] {
  const word = new RegExp(`\\bstatsig_forward_proxy_${name}_(count_total|latency_|gauge)`);
  return rules
    .filter(({ expr }) => word.test(expr))
    .map(({ alert }) => `[${alert.replace(/^StatsigRelay/, "")}](#${alert.toLowerCase()})`);
}
