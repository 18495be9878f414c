import { beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { fetchHelm, hasHelm } from "../../scripts/release/helm.ts";
import { describeWith } from "../support/common/needs.ts";
import { eventually } from "../support/common/wait.ts";
import { objectsIn, rendered } from "../support/deploy/helm.ts";
import { podOf, relayContainer } from "../support/deploy/kubernetes-relay.ts";
import type { KubernetesObject } from "../support/deploy/kubernetes-schemas.ts";
import { promtool } from "../support/telemetry/prometheus.ts";

const pathOf = (file: string) => fileURLToPath(new URL(`../../deploy/${file}`, import.meta.url));

type Labels = Readonly<Record<string, string>>;

/** The job for Kubernetes, which stands in the file as a comment. */
function kubernetesJob(): { readonly job_name: string; readonly relabel_configs: readonly object[] } {
  const text = readFileSync(pathOf("prometheus/prometheus.yaml"), "utf8");
  const lines = text.slice(text.indexOf("  # - job_name")).split("\n");
  return parse(lines.map((line) => line.replace(/^ {2}# ?/, "")).join("\n"))[0];
}

/** Returns the targets that Prometheus would find in a cluster for the pod: one for each port of its container. */
function discoveredTargets(objects: readonly KubernetesObject[]): { targets: string[]; labels: Labels }[] {
  const labels = Object.entries(podOf(objects).metadata?.labels ?? {}).map(([name, value]) => [
    `__meta_kubernetes_pod_label_${name.replace(/\W/g, "_")}`,
    String(value),
  ]);
  return (relayContainer(objects).ports ?? []).map(({ name = "", containerPort }) => ({
    targets: [`10.0.0.1:${containerPort}`],
    labels: {
      ...Object.fromEntries(labels),
      __meta_kubernetes_namespace: "flags",
      __meta_kubernetes_pod_name: "relay-1",
      __meta_kubernetes_pod_container_port_name: name,
    },
  }));
}

/** Returns job, instance and address of each target that is left after relabeling. Debian's Prometheus has no Kubernetes client. */
async function scrapedTargets(objects: readonly KubernetesObject[]): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "sfp-job-"));
  try {
    const { job_name, relabel_configs } = kubernetesJob();
    const found = discoveredTargets(objects);
    const file = join(folder, "prometheus.yaml");
    const job = { job_name, static_configs: found, relabel_configs };
    writeFileSync(file, JSON.stringify({ scrape_configs: [job] }));
    let waitMs = 250;
    return await eventually(async () => {
      waitMs *= 2;
      const flags = [`--timeout=${waitMs}ms`, file, job_name];
      const { output } = await promtool(["check", "service-discovery", ...flags]);
      const targets = JSON.parse(output) as readonly { readonly labels: Labels }[];
      expect(targets).toHaveLength(found.length);
      return targets
        .filter(({ labels }) => Object.keys(labels).length > 0)
        .map(({ labels }) => `${labels["job"]} ${labels["instance"]} ${labels["__address__"]}`);
    }, PATIENCE);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const manifest = (file: string) => objectsIn(readFileSync(pathOf(`kubernetes/${file}`), "utf8"));
/** promtool always waits for its timeout, which is longer each time. */
const PATIENCE = { withinMs: 20_000 };
const MANAGEMENT = ["statsig-forward-proxy flags/relay-1 10.0.0.1:8001"];

describeWith("promtool")("the job for Kubernetes in prometheus.yaml", () => {
  test.each(["active.yaml", "passive.yaml"])("finds the management port of the pods of %s", async (file) => {
    expect(await scrapedTargets(manifest(file))).toEqual(MANAGEMENT);
  });

  test("does not find the pods of another program", async () => {
    const [first, ...rest] = manifest("active.yaml");
    const other = JSON.parse(JSON.stringify(first).replaceAll('"statsig-forward-proxy"', '"web"'));
    expect(await scrapedTargets([other, ...rest])).toEqual([]);
  });
});

describeWith("promtool", "unzip")("the job for Kubernetes, with the chart", () => {
  const chartTest = test.skipIf(!hasHelm);

  beforeAll(async () => {
    if (hasHelm) await fetchHelm();
  }, 300_000);

  chartTest("finds the management port of its pods", async () => {
    expect(await scrapedTargets(await rendered())).toEqual(MANAGEMENT);
  });
});
