// The Helm chart as one file, dist/statsig-forward-proxy-<version>.tgz.
//   bun scripts/package-chart.ts [--outdir <folder>]
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root, run } from "./command.ts";
import { hasHelm, readyHelm } from "./release/helm.ts";

const { values } = parseArgs({ options: { outdir: { type: "string" } } });
const chart = join(root, "deploy", "helm", "statsig-forward-proxy");
// Elsewhere whoever builds has to have it.
const helm = hasHelm ? await readyHelm() : "helm";
process.exitCode = await run([helm, "package", chart, "--destination", values.outdir ?? join(root, "dist")]);
