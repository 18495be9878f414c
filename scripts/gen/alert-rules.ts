import { join } from "node:path";
import { root } from "../command.ts";

/** An alert rule of deploy/prometheus/alerts.yaml. */
export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly AlertRule[] }[];
}

export const ALERTS_PATH = join(root, "deploy/prometheus/alerts.yaml");

/** What `runbook_url` of each alert begins with here. A release replaces it by the address of the repository. */
export const RUNBOOK_BASE = "https://docs.example.com/statsig-forward-proxy";

const CHART_COPY = join(root, "deploy/helm/statsig-forward-proxy/files/alerts.yaml");

export async function readAlertRules(): Promise<readonly AlertRule[]> {
  const { groups } = Bun.YAML.parse(await Bun.file(ALERTS_PATH).text()) as RuleFile;
  return groups.flatMap(({ rules }) => rules);
}

/** Copies the rules into the Helm chart, since a chart cannot read files beside it. */
export async function writeChartAlerts(): Promise<void> {
  await Bun.write(CHART_COPY, await formatChartAlerts());
}

/** Returns a problem if the rules of the chart differ. */
export async function findStaleChartAlerts(): Promise<string[]> {
  const copy = Bun.file(CHART_COPY);
  if ((await copy.exists()) && (await copy.text()) === (await formatChartAlerts())) return [];
  return ["the alert rules of the Helm chart do not match deploy/prometheus/alerts.yaml: run `npm run gen`"];
}

/** The comments at the beginning are about the file itself. */
async function formatChartAlerts(): Promise<string> {
  const text = await Bun.file(ALERTS_PATH).text();
  return `# By \`npm run gen\`, from deploy/prometheus/alerts.yaml.\n${text.slice(text.indexOf("groups:\n"))}`;
}
