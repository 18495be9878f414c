import { fileURLToPath } from "node:url";

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

interface Variable {
  readonly name: string;
  readonly query: string | { readonly query: string };
}

interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

const path = fileURLToPath(new URL("../../../deploy/grafana/statsig-forward-proxy.json", import.meta.url));

export async function readDashboard(): Promise<Dashboard> {
  return (await Bun.file(path).json()) as Dashboard;
}

/** Returns all expressions of the dashboard with its variables replaced, as Grafana sends them to Prometheus. */
export function expressionsOf({ panels, annotations }: Dashboard, interval = "5m"): readonly string[] {
  const all = [
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...annotations.list.map(({ expr }) => expr),
  ];
  return all.map((expr) =>
    expr.replaceAll(/\$__(rate_)?interval/g, interval).replaceAll(/\$(job|instance|sdk_key)/g, "a|b"),
  );
}
