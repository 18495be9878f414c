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

export async function readAlertRules(): Promise<readonly AlertRule[]> {
  const { groups } = Bun.YAML.parse(await Bun.file(ALERTS_PATH).text()) as RuleFile;
  return groups.flatMap(({ rules }) => rules);
}
