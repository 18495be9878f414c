import { describe, expect, test } from "bun:test";
import { RUNBOOK_BASE, readAlertRules } from "../../scripts/gen/alert-rules.ts";
import { METRICS } from "../../src/telemetry/metrics/catalog.ts";
import { expressionsOf, type Panel, readDashboard } from "../support/telemetry/dashboard.ts";
import { growthOfVersionsIn, unknownIn, wrongMatchersIn } from "../support/telemetry/promql.ts";

const rules = await readAlertRules();
const dashboard = await readDashboard();
const document = await Bun.file(`${import.meta.dir}/../../docs/monitoring.md`).text();

test("no expression is always 0 because each version of a feed is a series of its own", () => {
  const all = [...rules.map(({ expr }) => expr), ...expressionsOf(dashboard)];
  expect(all.flatMap(growthOfVersionsIn)).toEqual([]);
});

describe("alert rules", () => {
  test("query only metrics and labels that exist", () => {
    for (const { expr } of rules) expect([...unknownIn(expr), ...wrongMatchersIn(expr)]).toEqual([]);
  });

  test("each has a severity, a summary, a description, and a section of the document as its runbook", () => {
    for (const { alert, labels, annotations } of rules) {
      expect(["warning", "critical"]).toContain(String(labels["severity"]));
      expect(Object.keys(annotations)).toEqual(["summary", "description", "runbook_url"]);
      expect(annotations["runbook_url"]).toBe(`${RUNBOOK_BASE}/docs/monitoring.md#${alert.toLowerCase()}`);
      expect(document).toContain(`\n### ${alert}\n`);
    }
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  });

  test("the document describes exactly these alerts", () => {
    const described = [...document.matchAll(/^### (StatsigRelay\w+)$/gm)].map(([, alert]) => String(alert));
    expect(described).toEqual(rules.map(({ alert }) => alert));
  });

  test("the document names only metrics that exist", () => {
    const names = new Set<string>(METRICS.map(({ name }) => name));
    const named = [...document.matchAll(/`((?:Http|Redis|Grpc|LogEvent|ConfigSpec|Backup)[A-Z]\w+)`/g)];
    expect(named.map(([, name]) => String(name)).filter((name) => !names.has(name))).toEqual([]);
  });
});

describe("the dashboard", () => {
  test("queries only metrics and labels that exist", () => {
    for (const expr of expressionsOf(dashboard))
      expect([...unknownIn(expr), ...wrongMatchersIn(expr)]).toEqual([]);
  });

  test("shows every metric, except one that has a series per version", () => {
    const all = expressionsOf(dashboard).join("\n");
    const missing = METRICS.filter(({ name }) => !all.includes(`_${name}_`)).map(({ name }) => name);
    expect(missing).toEqual(["ConfigSpecStoreGotData"]);
  });

  test("has a variable for the data source, the job, the relay and the SDK key", () => {
    const names = dashboard.templating.list.map(({ name }) => name);
    expect(names).toEqual(["datasource", "job", "instance", "sdk_key"]);
    for (const { query } of dashboard.templating.list)
      if (typeof query !== "string") expect(unknownIn(query.query.replaceAll(/\$\w+/g, "x"))).toEqual([]);
  });

  test("has no overlapping panels and no duplicate panel IDs", () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const pairs = panels.flatMap((a, at) => panels.slice(at + 1).map((b) => [a, b] as const));
    expect(pairs.filter(([a, b]) => overlap(a, b)).map(([a, b]) => [a.title, b.title])).toEqual([]);
    for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
  });
});

function overlap({ gridPos: a }: Panel, { gridPos: b }: Panel): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
