import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { describeWith } from "../support/common/needs.ts";
import { allowedSystemCalls } from "../support/common/system-call-filter.ts";
import { runRelay } from "../support/relay/relay-process.ts";
import { startTracedRelay } from "../support/telemetry/traced-relay.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const NAME = "statsig-forward-proxy.service";
const unitFile = fileURLToPath(new URL(`../../deploy/systemd/${NAME}`, import.meta.url));
const unit = readFileSync(unitFile, "utf8");
const folder = mkdtempSync(join(tmpdir(), "sfp-systemd-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Returns every value of a setting in order. */
const valuesOf = (name: string) =>
  Array.from(unit.matchAll(new RegExp(`^${name}=(.*)$`, "gm")), ([, value = ""]) => value);

/** Writes the unit as it is after an installation, with an executable that exists here. */
function installedUnit(): string {
  const path = join(folder, NAME);
  writeFileSync(path, unit.replace("/usr/local/bin/statsig-forward-proxy", process.execPath));
  return path;
}

/** Replaces %S and %d as systemd does. */
const expanded = (text: string) => text.replaceAll("%S", folder).replaceAll("%d", folder);

const environmentOf = (assignments: readonly string[]) =>
  Object.fromEntries(
    assignments.map((each) => [each.slice(0, each.indexOf("=")), each.slice(each.indexOf("=") + 1)]),
  );

describeWith("systemd-analyze")("the systemd unit", () => {
  test("passes systemd-analyze verify", () => {
    const { exitCode, stderr } = Bun.spawnSync(["systemd-analyze", "verify", "--man=no", installedUnit()]);
    expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  });

  test("has an exposure level of at most 1.5 of 10", () => {
    const args = ["security", "--offline=true", "--threshold=15", "--no-pager", installedUnit()];
    const { exitCode, stdout } = Bun.spawnSync(["systemd-analyze", ...args]);
    expect([exitCode, stdout.toString()]).toEqual([0, expect.stringContaining("Overall exposure level")]);
  });
});

test("the relay accepts the environment of the unit", async () => {
  const env = environmentOf(valuesOf("Environment").map(expanded));
  const { exitCode, stdout, stderr } = await runRelay(["--print-config"], env);
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("cache: local  # SFP_CACHE");
  expect(stdout).toContain(`local-cache-path: ${folder}/statsig-forward-proxy/cache`);
});

test("the relay accepts the variables in the unit's comments", async () => {
  const shown = Array.from(unit.matchAll(/^# {5}Environment=(.*)$/gm), ([, value = ""]) => value);
  const assignments = shown.flatMap((line) => line.split(" ")).map(expanded);
  writeFileSync(join(folder, "sdk-keys"), "secret-of-the-unit\n");
  const env = { ...environmentOf(assignments), SFP_MODE: "http", SFP_CACHE: "disabled" };
  const { exitCode, stdout, stderr } = await runRelay(["--print-config"], env);
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).not.toContain("unknown environment variable");
  expect(assignments).toHaveLength(5);
});

test("TimeoutStopSec exceeds the relay's delay and grace period, and LimitNOFILE suffices for every port", async () => {
  const { stdout } = await runRelay(["--print-config", "grpc-and-http", "disabled"]);
  const defaultOf = (name: string) => Number(new RegExp(`^${name}: (\\d+)`, "m").exec(stdout)?.[1]);
  const stopS = defaultOf("shutdown-delay-in-s") + defaultOf("shutdown-grace-in-s");
  expect(Number(valuesOf("TimeoutStopSec")[0])).toBeGreaterThan(stopS);
  expect(Number(valuesOf("LimitNOFILE")[0])).toBeGreaterThan(4 * defaultOf("max-connections"));
});

describeWith("systemd-analyze", "strace")("the system calls of a relay", () => {
  test("are allowed by the unit's filter", async () => {
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-traced");
    const cachePath = join(folder, "traced");
    const args = ["--local-cache-path", cachePath, "--event-spool-path", join(cachePath, "spool")];
    const { relay, systemCalls } = await startTracedRelay({ upstream, args }, folder);
    await using _ = relay;
    const specs = `${relay.httpUrl}/v2/download_config_specs/${key.sdkKey}.json`;
    expect(textOf(await rawGet(specs))).toBe(key.v2);
    expect(await relay.stop()).toBe(0);
    const allowed = allowedSystemCalls(valuesOf("SystemCallFilter"));
    expect(allowed.size).toBeGreaterThan(100);
    const refused = systemCalls().filter((name) => !allowed.has(name));
    // SQLite calls it as root only.
    expect(refused.filter((name) => name !== "fchown")).toEqual([]);
    expect(systemCalls()).toEqual(expect.arrayContaining(["execve", "futex", "accept4"]));
  }, 60_000);
});
