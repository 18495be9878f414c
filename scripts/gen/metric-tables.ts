// Generates the tables of docs/monitoring.md from the declarations of metrics and the alert rules that query them.
import { join } from "node:path";
import { FLOW_METRICS } from "../../src/telemetry/metrics/flow-metrics.ts";
import type { MetricRow } from "../../src/telemetry/metrics/metric.ts";
import { ORIGINAL_METRICS } from "../../src/telemetry/metrics/original-metrics.ts";
import { PROCESS_METRICS } from "../../src/telemetry/metrics/process-metrics.ts";
import { root } from "../command.ts";
import { type AlertRule, readAlertRules } from "./alert-rules.ts";

const DOCUMENT = join(root, "docs/monitoring.md");
const START = "<!-- by `bun run gen`, from src/telemetry/metrics -->";
const END = "<!-- up to here -->";

const TABLES: readonly (readonly [heading: string, rows: readonly MetricRow[]])[] = [
  ["Metrics of the original proxy", ORIGINAL_METRICS],
  ["Config specs, backup, streams, log events, ID lists", FLOW_METRICS],
  ["Limits, certificates, process, monitoring", PROCESS_METRICS],
];

/** Replaces the tables in docs/monitoring.md. */
export async function writeMetricTables(): Promise<void> {
  await Bun.write(DOCUMENT, await withTables(await Bun.file(DOCUMENT).text()));
}

/** Returns a problem if the tables in docs/monitoring.md differ from the declarations. */
export async function findStaleMetricTables(): Promise<string[]> {
  const document = await Bun.file(DOCUMENT).text();
  if (document === (await withTables(document))) return [];
  return ["docs/monitoring.md does not match the metrics in src/telemetry/metrics: run `npm run gen`"];
}

async function withTables(document: string): Promise<string> {
  const rules = await readAlertRules();
  const [before, rest] = document.split(START);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`docs/monitoring.md has no "${START}"`);
  const tables = TABLES.map(([heading, rows]) => formatTable(heading, rows, rules));
  return `${before}${START}\n\n${tables.join("\n\n")}\n\n${END}${after}`;
}

function formatTable(heading: string, rows: readonly MetricRow[], rules: readonly AlertRule[]): string {
  const lines = rows.map(({ name, kinds, tags, description }) => {
    const cells = [
      `\`${name}\``,
      kinds.map((kind) => formatKind(name, kind)).join("; "),
      tags.map((tag) => `\`${tag}\``).join(", "),
      description,
      findAlerts(name, rules).join(", "),
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return [`### ${heading}`, "", "| metric | kind | tags | meaning | alerts |", "|---|---|---|---|---|"]
    .concat(lines)
    .join("\n");
}

/** The last part of a metric's name is its unit. A latency is always in ms. */
function formatKind(name: string, kind: MetricRow["kinds"][number]): string {
  if (kind === "latency") return "latency, ms";
  const unit = [
    ["Bytes", "bytes"],
    ["Ms", "ms"],
    ["S", "s"],
  ].find(([ending = ""]) => name.endsWith(ending))?.[1];
  return unit === undefined ? kind : `${kind}, ${unit}`;
}

function findAlerts(name: string, rules: readonly AlertRule[]): string[] {
  const word = new RegExp(`\\bstatsig_forward_proxy_${name}_(count_total|latency_|gauge)`);
  return rules
    .filter(({ expr }) => word.test(expr))
    .map(({ alert }) => `[${alert.replace(/^StatsigRelay/, "")}](#${alert.toLowerCase()})`);
}
