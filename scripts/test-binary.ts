// `npm run test:binary`: runs the black-box tests against the executable instead of the sources. It builds the executable
// unless --binary names one.
//   npm run test:binary -- [--binary <path>] [--no-system-packages] [<file>...]
import { parseArgs } from "node:util";
import { runBlackBoxTests } from "./test/black-box-run.ts";
import { findBlackBoxTests } from "./test/black-box-tests.ts";
import { buildForTests } from "./test/built-relay.ts";
import { listTestFiles, selectTestFiles } from "./test/test-files.ts";

const { values, positionals } = parseArgs({
  options: {
    binary: { type: "string" },
    /** The flag of `npm test`. */
    "no-system-packages": { type: "boolean", default: false },
  },
  allowPositionals: true,
});
using built = await buildForTests(values.binary);
process.exitCode = await runBlackBoxTests({
  files:
    positionals.length > 0 ? selectTestFiles(positionals, await listTestFiles()) : await findBlackBoxTests(),
  env: built.env,
  shown: built.binary,
  maySystemInstall: !values["no-system-packages"],
});
