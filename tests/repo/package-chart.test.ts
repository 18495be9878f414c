import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { version } from "../../package.json";
import { fetchHelm, hasHelm } from "../../scripts/release/helm.ts";
import { helm, objectsIn } from "../support/deploy/helm.ts";
import { relayContainer } from "../support/deploy/kubernetes-relay.ts";
import { runCommand } from "../support/deploy/package-root.ts";

const out = mkdtempSync(join(tmpdir(), "sfp-packaged-chart-"));
const isMissing = (process.env["SFP_TEST_MISSING"] ?? "").split(",").includes("unzip");
const script = fileURLToPath(new URL("../../scripts/package-chart.ts", import.meta.url));
const DOCS = "https://git.example.com/relay/blob/v9";

afterAll(() => rmSync(out, { recursive: true, force: true }));

describe.skipIf(!hasHelm || isMissing)("the chart and the alert rules of a release", () => {
  beforeAll(async () => {
    await fetchHelm();
    const args = ["--outdir", out, "--image", "ghcr.io/acme/relay", "--docs", DOCS];
    const { exitCode, stderr } = runCommand(process.execPath, script, ...args);
    if (exitCode !== 0) throw new Error(stderr);
  }, 300_000);

  test("are named for the version", () => {
    expect(readdirSync(out).sort()).toEqual([
      "prometheus-alerts.yaml",
      `statsig-forward-proxy-${version}.tgz`,
    ]);
  });

  test("install the image of the release without a value, with alerts that lead to its documents", async () => {
    const chart = join(out, `statsig-forward-proxy-${version}.tgz`);
    const set = "metrics.prometheusRule.enabled=true";
    const { stdout } = await helm("template", "relays", chart, "--set", set);
    const objects = objectsIn(stdout);
    expect(relayContainer(objects).image).toBe(`ghcr.io/acme/relay:${version}`);
    const rule = JSON.stringify(objects.find(({ kind }) => kind === "PrometheusRule"));
    expect(rule).toContain(`"runbook_url":"${DOCS}/docs/monitoring.md#statsigrelaydown"`);
  });

  test("contain the address of the documents, and nothing of the example", () => {
    const alerts = readFileSync(join(out, "prometheus-alerts.yaml"), "utf8");
    expect(alerts).toContain(`runbook_url: ${DOCS}/docs/monitoring.md#statsigrelaydown\n`);
    expect(alerts).not.toContain("example.com/statsig");
    expect(alerts).toMatch(/^# Alert rules for relays.*\n(# .*\n)+groups:\n/);
    expect(alerts).not.toContain("sed -i");
  });
});
