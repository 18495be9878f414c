import { npmCommand, run } from "./command.ts";
import { configurationTablesAreCurrent } from "./configuration-tables.ts";
import { dependenciesAreLockedAndDescribed } from "./dependency-rules.ts";
import { exampleSnippetsAreCurrent } from "./example-snippets.ts";
import { generatedCodeIsCurrent } from "./gen.ts";
import { importsFollowTheRules } from "./import-rules.ts";
import { metricTablesAreCurrent } from "./metric-tables.ts";

interface Check {
  readonly name: string;
  readonly passes: () => Promise<boolean>;
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const succeeds = (name: string, ...args: string[]) => {
  return async () => (await run([...npmCommand(name), ...args])) === 0;
};

// In a log that is kept, Biome's colours are noise around every single letter.
const biomeColors = process.stdout.isTTY ? "force" : "off";

const checks: readonly Check[] = [
  { name: "Types", passes: succeeds("tsc", "--noEmit") },
  {
    name: "Lint and format",
    passes: succeeds("biome", "ci", "--error-on-warnings", `--colors=${biomeColors}`),
  },
  { name: "Generated code is current", passes: generatedCodeIsCurrent },
  { name: "Tables of metrics are current", passes: metricTablesAreCurrent },
  { name: "Tables of options are current", passes: configurationTablesAreCurrent },
  { name: "Programs in docs are current", passes: exampleSnippetsAreCurrent },
  { name: "Import rules", passes: importsFollowTheRules },
  { name: "Dependencies are locked and described", passes: dependenciesAreLockedAndDescribed },
];

/** Runs every static check, whatever the others said, so that one run shows all there is to mend. */
export async function runChecks(): Promise<Counts> {
  let failed = 0;
  for (const check of checks) {
    heading(check.name);
    if (!(await check.passes())) {
      failed += 1;
      console.error(`${check.name}: failed`);
    }
  }
  return { passed: checks.length - failed, failed, skipped: 0 };
}

export function heading(text: string): void {
  console.log(`\n== ${text}`);
}

export function summary({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
