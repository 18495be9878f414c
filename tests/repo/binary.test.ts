import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { framesOf } from "../support/profiling/decoded-profile.ts";
import { startProfiledRelay } from "../support/profiling/profiled-relay.ts";

// `npm test` runs all black-box tests against the executable. These are about what differs from the sources.
const folder = mkdtempSync(join(tmpdir(), "sfp-binary-"));
const outer = process.env["SFP_TEST_BINARY"];
const binary = outer ?? join(folder, "statsig-forward-proxy");

beforeAll(() => {
  if (outer !== undefined) return;
  const script = fileURLToPath(new URL("../../scripts/build.ts", import.meta.url));
  const built = Bun.spawnSync([process.execPath, script, "--outfile", binary]);
  if (!built.success) throw new Error(built.stderr.toString());
  process.env["SFP_TEST_BINARY"] = binary;
}, 180_000);
afterAll(() => {
  if (outer === undefined) delete process.env["SFP_TEST_BINARY"];
  rmSync(folder, { recursive: true, force: true });
});

describe("the compiled binary", () => {
  test("names functions and files of the sources in profiles", async () => {
    await using profiled = await startProfiledRelay();
    await using _load = await profiled.load();
    const frames = framesOf(await profiled.take("profile?seconds=2"), "http-");
    expect([...frames]).toContain("received src/http/http1/connection.ts");
    const held = framesOf(await profiled.take("heap"), "main");
    expect([...held].join("\n")).toMatch(/SpecStore|MetricRegistry|Supervisor/);
  }, 90_000);

  test("ignores a .env file in its working directory", async () => {
    writeFileSync(join(folder, ".env"), "SFP_HTTP_PORT=nonsense\n");
    const { exitCode, stdout } = Bun.spawnSync([binary, "--version"], { cwd: folder });
    expect([exitCode, stdout.toString()]).toEqual([0, expect.stringMatching(/^statsig-forward-proxy \d/)]);
    const run = Bun.spawnSync([binary, "http", "disabled", "--http-port", "0", "--management-port", "0"], {
      cwd: folder,
      timeout: 1_500,
    });
    expect(run.stderr.toString()).toBe("");
  });
});
