// Packages the Helm chart as dist/statsig-forward-proxy-<version>.tgz.
//   node scripts/with-bun.mjs scripts/package-chart.ts [--outdir <folder>]
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root, run } from "./command.ts";
import { fetchHelm, hasHelm } from "./release/helm.ts";

const { values } = parseArgs({ options: { outdir: { type: "string" } } });
const chart = join(root, "deploy", "helm", "statsig-forward-proxy");
// On other platforms, Helm has to be on the PATH.
const helm = hasHelm ? await fetchHelm() : "helm";
process.exitCode = await run([helm, "package", chart, "--destination", values.outdir ?? join(root, "dist")]);
