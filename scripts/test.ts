// `npm test`: what the tests need, the static checks, the tests, and one last line that counts them all.
import { heading, runChecks, summary } from "./checks.ts";
import { runTests } from "./run-tests.ts";
import { missingSystemCommands } from "./system-packages.ts";

const missing = await missingSystemCommands();
const checks = await runChecks();
heading("Tests");
const tests = await runTests(process.argv.slice(2), { SFP_TEST_MISSING: missing.join(",") });
const total = {
  passed: checks.passed + tests.passed,
  failed: checks.failed + tests.failed,
  skipped: tests.skipped,
};
console.log(`\n${summary(total)}`);
if (total.failed > 0) process.exitCode = 1;
