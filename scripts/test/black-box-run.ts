import { formatCounts } from "./counts.ts";
import { formatDetails } from "./report.ts";
import { runTests } from "./run-tests.ts";
import { installMissingCommands, toTestVariable } from "./system-packages.ts";

export interface BlackBoxRun {
  /** Test files, as paths from the project's root. */
  readonly files: readonly string[];
  /** The variables that say which relay the tests start. */
  readonly env: Readonly<Record<string, string>>;
  /** What the last lines call the relay. */
  readonly shown: string;
  /** Whether programs that tests call may be installed with apt-get. */
  readonly maySystemInstall: boolean;
}

/** Runs black-box tests against a relay that is not the sources on Bun, and prints totals. Resolves to the exit code. */
export async function runBlackBoxTests({
  files,
  env,
  shown,
  maySystemInstall,
}: BlackBoxRun): Promise<number> {
  const missing = await installMissingCommands(maySystemInstall);
  const counts = await runTests(files, { ...toTestVariable(missing), ...env });
  console.log(formatDetails(counts));
  console.log(`\n${files.length} test files against ${shown}\n${formatCounts(counts)}`);
  return counts.failed > 0 ? 1 : 0;
}
