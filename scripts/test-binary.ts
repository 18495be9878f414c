// `bun run test:binary`: the tests that see a relay from outside, against the executable in place of the sources.
//   bun run test:binary [--binary <path>] [tests/cli.test.ts...]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { currentCommit } from "./binary/commit.ts";
import { compile } from "./binary/compile.ts";
import { blackBoxTests } from "./black-box-tests.ts";
import { summary } from "./checks.ts";
import { runTests } from "./run-tests.ts";
import { missingSystemCommands } from "./system-packages.ts";

const { values, positionals } = parseArgs({
  options: { binary: { type: "string" } },
  allowPositionals: true,
});
const folder = mkdtempSync(join(tmpdir(), "sfp-test-binary-"));
try {
  const binary = resolve(values.binary ?? join(folder, "statsig-forward-proxy"));
  if (values.binary === undefined) await compile({ outfile: binary, commit: currentCommit().shown });
  const missing = await missingSystemCommands();
  const files = positionals.length > 0 ? positionals : await blackBoxTests();
  const counts = await runTests(files, { SFP_TEST_MISSING: missing.join(","), SFP_TEST_BINARY: binary });
  console.log(`\n${files.length} files of tests against ${binary}\n${summary(counts)}`);
  if (counts.failed > 0) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
