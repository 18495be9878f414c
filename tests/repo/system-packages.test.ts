import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../../scripts/command.ts";
import { formatDetails } from "../../scripts/test/report.ts";
import { runTests } from "../../scripts/test/run-tests.ts";
import { installMissingCommands, toTestVariable } from "../../scripts/test/system-packages.ts";

/** Calls the installation in a process whose PATH has an apt-get that leaves a file, and no other program. */
function install(isWanted: boolean) {
  const folder = mkdtempSync(join(tmpdir(), "sfp-apt-"));
  try {
    const called = join(folder, "called");
    writeFileSync(join(folder, "apt-get"), `#!/bin/sh\necho "$@" >> ${called}\n`, { mode: 0o755 });
    const module = join(root, "scripts/test/system-packages.ts");
    const code = `const { ${installMissingCommands.name} } = await import("${module}");
      console.log(JSON.stringify(await ${installMissingCommands.name}(${isWanted})));`;
    const child = spawnSync(process.execPath, ["--eval", code], { env: { PATH: folder }, encoding: "utf8" });
    return {
      missing: JSON.parse(child.stdout) as string[],
      printed: child.stderr,
      isAptGetCalled: existsSync(called),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("--no-system-packages installs nothing and names the programs whose tests are skipped", () => {
  const { missing, printed, isAptGetCalled } = install(false);
  expect(isAptGetCalled).toBeFalse();
  expect(missing).toContain("redis-server");
  expect(printed).toMatch(
    /^Tests that need .*redis-server.* are skipped\. Install them with: apt-get install .*redis-server/,
  );
});

test("docs/dependencies.md lists every Debian package that may be installed", () => {
  const packages = /apt-get install (.*)$/m.exec(install(false).printed)?.[1]?.split(" ");
  const page = readFileSync(join(root, "docs/dependencies.md"), "utf8");
  const list = /\*\*Debian packages\.\*\*.*?missing: (.*?)\. npm/s.exec(page)?.[1] ?? "";
  expect(Array.from(list.matchAll(/`([^`]+)`/g), ([, name]) => name)).toEqual(packages ?? []);
});

test("a test that needs a missing program is counted as skipped, and its file is named", async () => {
  const file = "tests/repo/printed-streams.test.ts";
  const counts = await runTests([file], toTestVariable(["curl"]));
  expect(counts).toMatchObject({ failed: 1, passed: 0 });
  expect(counts.skipped).toBeGreaterThan(0);
  expect(formatDetails(counts)).toEndWith(`\n  ${file}: ${counts.skipped}`);
});
