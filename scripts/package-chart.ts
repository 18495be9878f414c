// Packages the Helm chart as dist/statsig-forward-proxy-<version>.tgz, and the alert rules as dist/prometheus-alerts.yaml.
//   node scripts/with-bun.mjs scripts/package-chart.ts [--outdir <folder>] [--image <repository>] [--docs <URL>]
// --image is the default of image.repository: where the image of this version is. --docs is what runbook_url begins with.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root, run } from "./command.ts";
import { ALERTS_PATH, RUNBOOK_BASE } from "./gen/alert-rules.ts";
import { fetchHelm, hasHelm } from "./release/helm.ts";

/** The comment about runbook_url, which does not fit once it is set. */
const HOW_TO_SET = /^# runbook_url begins(.*\n#)*.*\n/m;

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { outdir: text, image: text, docs: text } });
const { image = "statsig-forward-proxy", docs = RUNBOOK_BASE, outdir = join(root, "dist") } = values;
const folder = mkdtempSync(join(tmpdir(), "sfp-chart-"));
try {
  const chart = join(folder, "statsig-forward-proxy");
  cpSync(join(root, "deploy/helm/statsig-forward-proxy"), chart, { recursive: true });
  replaceIn(
    join(chart, "values.yaml"),
    "\n  repository: statsig-forward-proxy\n",
    `\n  repository: ${image}\n`,
  );
  replaceIn(join(chart, "values.yaml"), `runbookBase: ${RUNBOOK_BASE}\n`, `runbookBase: ${docs}\n`);
  mkdirSync(outdir, { recursive: true });
  const alerts = readFileSync(ALERTS_PATH, "utf8").replace(HOW_TO_SET, "").replaceAll(RUNBOOK_BASE, docs);
  writeFileSync(join(outdir, "prometheus-alerts.yaml"), alerts);
  // On other platforms, Helm has to be on the PATH.
  const helm = hasHelm ? await fetchHelm() : "helm";
  process.exitCode = await run([helm, "package", chart, "--destination", outdir]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Throws if the file does not contain the text. */
function replaceIn(path: string, from: string, to: string): void {
  const content = readFileSync(path, "utf8");
  if (!content.includes(from)) throw new Error(`${path} does not contain "${from.trim()}"`);
  writeFileSync(
    path,
    content.replace(from, () => to),
  );
}
