// `bun run check`: what `npm test` checks before it runs the tests.
import { runChecks, summary } from "./checks.ts";

const counts = await runChecks();
console.log(`\n${summary(counts)}`);
if (counts.failed > 0) process.exitCode = 1;
