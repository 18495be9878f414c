// `npm run check`: the static checks, which `npm test` runs before the tests.
import { runChecks } from "./checks/run-checks.ts";
import { formatCounts } from "./test/counts.ts";

const counts = await runChecks();
console.log(`\n${formatCounts(counts)}`);
if (counts.failed > 0) process.exitCode = 1;
