// `npm run test:deno`: runs the black-box tests against the relay on Deno, from its sources, or with --compiled as the executable that
// `deno compile` makes. Tests that cannot hold there are listed in scripts/test/not-on-deno.ts.
//   npm run test:deno -- [--compiled] [--no-system-packages] [<file>...]
import { parseArgs } from "node:util";
import { findDeno, toDenoCommand } from "./deno/deno-program.ts";
import { runBlackBoxTests } from "./test/black-box-run.ts";
import { findBlackBoxTests } from "./test/black-box-tests.ts";
import { withoutBunOnly } from "./test/not-on-deno.ts";
import { listTestFiles, selectTestFiles } from "./test/test-files.ts";

const { values, positionals } = parseArgs({
  options: {
    "no-system-packages": { type: "boolean", default: false },
  },
  allowPositionals: true,
});
const deno = findDeno();
if (deno === undefined) {
  console.error(`test-deno: npm has no Deno for ${process.platform} on ${process.arch} with this C library`);
  process.exitCode = 1;
} else {
  process.exitCode = await runBlackBoxTests({
    files:
      positionals.length > 0
        ? selectTestFiles(positionals, await listTestFiles())
        : withoutBunOnly(await findBlackBoxTests()),
    env: { SFP_TEST_DENO: deno },
    shown: toDenoCommand(deno).join(" "),
    maySystemInstall: !values["no-system-packages"],
  });
}
