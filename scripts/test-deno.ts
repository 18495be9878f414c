// `npm run test:deno`: runs the black-box tests against the relay on Deno: from its sources; with --bundled from the JavaScript that
// `npm run build:deno` makes of them; or with --compiled as the executable that `deno compile` makes of that, which needs dl.deno.land.
// Tests that cannot hold on Deno are listed in scripts/test/not-on-deno.ts.
//   npm run test:deno -- [--bundled | --compiled] [--no-system-packages] [<file>...]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readCommit } from "./binary/commit.ts";
import { bundleForDeno } from "./deno/bundle.ts";
import { compileForDeno } from "./deno/compile.ts";
import { findDeno, toDenoCommand } from "./deno/deno-program.ts";
import { runBlackBoxTests } from "./test/black-box-run.ts";
import { findBlackBoxTests } from "./test/black-box-tests.ts";
import { withoutBunOnly } from "./test/not-on-deno.ts";
import { listTestFiles, selectTestFiles } from "./test/test-files.ts";

const folder = mkdtempSync(join(tmpdir(), "sfp-test-deno-"));
try {
  process.exitCode = await main();
} catch (error) {
  console.error(`test-deno: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      bundled: { type: "boolean", default: false },
      compiled: { type: "boolean", default: false },
      /** The flag of `npm test`. */
      "no-system-packages": { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  const deno = findDeno();
  if (deno === undefined) throw new Error("npm has no Deno for this platform");
  const { shown, env } = await prepare(deno, values);
  return await runBlackBoxTests({
    files:
      positionals.length > 0
        ? selectTestFiles(positionals, await listTestFiles())
        : withoutBunOnly(await findBlackBoxTests()),
    env: { SFP_TEST_DENO: deno, ...env },
    shown,
    maySystemInstall: !values["no-system-packages"],
  });
}

/** Builds what is tested, in the temporary folder. */
async function prepare(deno: string, { bundled, compiled }: { bundled: boolean; compiled: boolean }) {
  if (!bundled && !compiled) return { shown: toDenoCommand(deno).join(" "), env: {} };
  const bundle = await bundleForDeno(join(folder, "bundle"), readCommit().shown);
  if (!compiled) {
    return { shown: toDenoCommand(deno, bundle.main).join(" "), env: { SFP_TEST_DENO_MAIN: bundle.main } };
  }
  const binary = join(folder, "statsig-forward-proxy");
  await compileForDeno(deno, bundle, binary);
  return { shown: binary, env: { SFP_TEST_BINARY: binary } };
}
