// `npm run test:binary`: runs the black-box tests against the executable instead of the sources. It builds the executable
// unless --binary names one.
//   npm run test:binary -- [--binary <path>] [--no-system-packages] [<file>...]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { readCommit } from "./binary/commit.ts";
import { compile } from "./binary/compile.ts";
import { runBlackBoxTests } from "./test/black-box-run.ts";
import { findBlackBoxTests } from "./test/black-box-tests.ts";
import { listTestFiles, selectTestFiles } from "./test/test-files.ts";

const { values, positionals } = parseArgs({
  options: {
    binary: { type: "string" },
    /** The flag of `npm test`. */
    "no-system-packages": { type: "boolean", default: false },
  },
  allowPositionals: true,
});
const folder = mkdtempSync(join(tmpdir(), "sfp-test-binary-"));
try {
  const binary = resolve(values.binary ?? join(folder, "statsig-forward-proxy"));
  if (values.binary === undefined) await compile({ outfile: binary, commit: readCommit().shown });
  process.exitCode = await runBlackBoxTests({
    files:
      positionals.length > 0
        ? selectTestFiles(positionals, await listTestFiles())
        : await findBlackBoxTests(),
    env: { SFP_TEST_BINARY: binary },
    shown: binary,
    maySystemInstall: !values["no-system-packages"],
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
