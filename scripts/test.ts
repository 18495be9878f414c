// `npm test`: installs the programs that tests call, runs the static checks, builds the executable, runs all tests against it, and
// prints one line of totals. SFP_TEST_BINARY names an executable that is already there.
// `npm test -- --no-system-packages`: the same, but installs nothing with apt-get. Tests whose program is missing are skipped.
// `npm test -- <file>... [flags of bun test]`: runs only the test files whose path contains one of the names, against the sources.
// `npm run test:watch -- <file>...`: runs them again after each change of a file that they import.
import { runChecks } from "./checks/run-checks.ts";
import { buildForTests } from "./test/built-relay.ts";
import { formatCounts } from "./test/counts.ts";
import { formatDetails } from "./test/report.ts";
import { runTestFiles, runTests } from "./test/run-tests.ts";
import {
  findMissingCommands,
  installMissingCommands,
  NO_SYSTEM_PACKAGES,
  toTestVariable,
} from "./test/system-packages.ts";
import { listTestFiles, selectTestFiles, splitTestArguments } from "./test/test-files.ts";

const { names, flags: given } = splitTestArguments(process.argv.slice(2));
const flags = given.filter((flag) => flag !== NO_SYSTEM_PACKAGES);
try {
  if (names.length > 0) process.exitCode = await runNamed();
  else if (flags.includes("--watch")) throw new Error("name the test files: npm run test:watch -- <file>...");
  else process.exitCode = await runEverything();
} catch (error) {
  console.error(`test: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

async function runNamed(): Promise<number> {
  const files = selectTestFiles(names, await listTestFiles());
  return await runTestFiles(files, flags, toTestVariable(findMissingCommands()));
}

async function runEverything(): Promise<number> {
  const missing = await installMissingCommands(!given.includes(NO_SYSTEM_PACKAGES));
  const checks = await runChecks();
  console.log("\n== Tests");
  using built = await buildForTests(process.env["SFP_TEST_BINARY"]);
  const tests = await runTests(flags, { ...toTestVariable(missing), ...built.env });
  const failed = checks.failed + tests.failed;
  console.log(formatDetails(tests));
  console.log(`\n${formatCounts({ passed: checks.passed + tests.passed, failed, skipped: tests.skipped })}`);
  return failed > 0 ? 1 : 0;
}
