import { join } from "node:path";
import { npmCommand, root, run } from "../command.ts";
import { findStaleChartAlerts } from "../gen/alert-rules.ts";
import { findStaleChartOptions } from "../gen/chart-options.ts";
import { findStaleConfigurationTables } from "../gen/configuration-tables.ts";
import { findStaleExampleSnippets } from "../gen/example-snippets.ts";
import { findStaleMessageIndex } from "../gen/message-index.ts";
import { findStaleMetricTables } from "../gen/metric-tables.ts";
import { findStaleOpenApi } from "../gen/openapi.ts";
import { findStaleProtobuf } from "../gen/protobuf.ts";
import { findStaleStatusSchema } from "../gen/status-schema.ts";
import type { Counts } from "../test/counts.ts";
import { findCitationProblems } from "./citations.ts";
import { checkDependencies } from "./dependencies.ts";
import { findUnusedExports } from "./exports.ts";
import { findImportProblems } from "./imports.ts";
import { findLayoutProblems } from "./layout.ts";
import { findProseProblems } from "./prose.ts";

interface Check {
  readonly name: string;
  /** Resolves to one line per problem. A check that is a command prints its own output, and resolves to one line. */
  readonly findProblems: () => Promise<readonly string[]>;
}

// Escape sequences make a log that is stored in a file unreadable.
const biomeColors = process.stdout.isTTY ? "force" : "off";
const src = join(root, "src");

const CHECKS: readonly Check[] = [
  { name: "Types", findProblems: () => runTool("tsc", "--noEmit") },
  {
    name: "Lint and format",
    findProblems: () => runTool("biome", "ci", "--error-on-warnings", `--colors=${biomeColors}`),
  },
  { name: "Generated code is current", findProblems: findStaleProtobuf },
  { name: "JSON Schema of /status.json is current", findProblems: findStaleStatusSchema },
  { name: "OpenAPI documents are current", findProblems: findStaleOpenApi },
  { name: "Tables of metrics are current", findProblems: findStaleMetricTables },
  { name: "Tables of options are current", findProblems: findStaleConfigurationTables },
  {
    name: "Options and alerts of the Helm chart are current",
    findProblems: async () => [...(await findStaleChartOptions()), ...(await findStaleChartAlerts())],
  },
  { name: "Message index is current", findProblems: findStaleMessageIndex },
  { name: "Programs in docs are current", findProblems: findStaleExampleSnippets },
  { name: "Import rules", findProblems: () => findImportProblems(src) },
  { name: "Layout of src", findProblems: () => findLayoutProblems(src) },
  { name: "Exports are used", findProblems: () => findUnusedExports(root) },
  { name: "Cited documents and links exist", findProblems: () => findCitationProblems(root) },
  { name: "Plain English", findProblems: () => findProseProblems(root) },
  { name: "Dependencies are locked and described", findProblems: checkDependencies },
];

/** Runs every static check, even after one has failed, so that one run shows everything that has to be fixed. */
export async function runChecks(): Promise<Counts> {
  let failed = 0;
  for (const { name, findProblems } of CHECKS) {
    console.log(`\n== ${name}`);
    const problems = await findProblems();
    if (problems.length === 0) continue;
    failed += 1;
    for (const problem of problems) console.error(problem);
    console.error(`${name}: failed`);
  }
  return { passed: CHECKS.length - failed, failed, skipped: 0 };
}

async function runTool(name: string, ...args: readonly string[]): Promise<readonly string[]> {
  const code = await run([...npmCommand(name), ...args]);
  return code === 0 ? [] : [`${name} exited with code ${code}`];
}
