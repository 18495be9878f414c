import { describe, expect, test } from "bun:test";
import { runRelay } from "../support/relay/relay-process.ts";

async function run(name: string, ...args: readonly string[]) {
  const startedAt = performance.now();
  const { exitCode, stdout, stderr } = await runRelay(args, {}, name);
  expect(stdout).toBe("");
  return { exitCode, stderr: stderr.trimEnd(), tookMs: performance.now() - startedAt };
}

describe("as sleep, the executable", () => {
  test.each([
    [["0.3"], 300],
    [["0.1s", "0.2"], 300],
    [["0.005m"], 300],
    [["0"], 0],
  ])("waits for %j", async (args, ms) => {
    const { exitCode, stderr, tookMs } = await run("sleep", ...args);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(tookMs).toBeGreaterThanOrEqual(ms);
  });

  test.each([[[]], [["-1"]], [["1x"]], [["1", "soon"]], [["99999d"]], [["--help"]]])(
    "rejects %j",
    async (args) => {
      const { exitCode, stderr } = await run("/usr/bin/sleep", ...args);
      expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^sleep: invalid time ".*" \(expected /)]);
    },
  );
});

describe("as sh, the executable", () => {
  test.each(["sleep 0.3", " exec sleep 0.3 ; "])("waits for -c %j", async (script) => {
    const { exitCode, stderr, tookMs } = await run("/usr/local/bin/sh", "-ec", script);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(tookMs).toBeGreaterThanOrEqual(300);
  });

  test.each([
    [[]],
    [["-c"]],
    [["-c", "nginx -s quit"]],
    [["-c", "sleep 1 && kill 1"]],
    [["-c", "sleep $(cat /etc/passwd)"]],
    [["sleep", "1"]],
    [["/entrypoint.sh"]],
  ])("runs nothing else: %j", async (args) => {
    const { exitCode, stderr } = await run("sh", ...args);
    expect([exitCode, stderr]).toEqual([127, expect.stringMatching(/^sh: this image has no shell, only /)]);
  });
});

test("under any other name it is the relay", async () => {
  for (const name of ["/entrypoint.sh", "statsig_forward_proxy", "constructor"]) {
    const { exitCode, stdout } = await runRelay(["--version"], {}, name);
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^statsig-forward-proxy \d/)]);
  }
});
