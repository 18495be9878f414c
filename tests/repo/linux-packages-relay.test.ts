import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { version } from "../../package.json";
import { buildDeb } from "../../scripts/packages/deb.ts";
import { rawGet, textOf } from "../support/clients/raw-get.ts";
import { PackageRoot, runCommand } from "../support/deploy/package-root.ts";
import { startRelayProcess } from "../support/relay/relay-process.ts";
import { publishKey } from "../support/upstream/published-key.ts";
import { startUpstream } from "../support/upstream/upstream.ts";

const hasDpkg = process.arch === "x64" && Bun.which("dpkg-deb") !== null && process.getuid?.() === 0;

describe.skipIf(!hasDpkg)("the relay that the .deb package installs", () => {
  const folder = mkdtempSync(join(tmpdir(), "sfp-packaged-"));
  const outer = process.env["SFP_TEST_BINARY"];
  const target = new PackageRoot();
  const installed = target.file("usr/bin/statsig-forward-proxy");

  beforeAll(() => {
    const executable = join(folder, "statsig-forward-proxy-linux-x64");
    const script = fileURLToPath(new URL("../../scripts/build.ts", import.meta.url));
    const built = runCommand(process.execPath, script, "--outfile", executable);
    if (built.exitCode !== 0) throw new Error(built.stderr);
    const given = { target: "linux-x64", executable, version, timeS: 0, outdir: folder } as const;
    const name = buildDeb(given, "none");
    const { exitCode, stderr } = target.dpkg("--install", join(folder, name));
    if (exitCode !== 0) throw new Error(stderr);
    process.env["SFP_TEST_BINARY"] = installed;
  }, 240_000);

  afterAll(() => {
    if (outer === undefined) delete process.env["SFP_TEST_BINARY"];
    else process.env["SFP_TEST_BINARY"] = outer;
    target[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test("prints its version", () => {
    const { exitCode, stdout } = runCommand(installed, "--version");
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining(`statsig-forward-proxy ${version}`)]);
  });

  test("starts with the variables of the unit and of the settings as they are installed, and serves", async () => {
    const read = (path: string) => readFileSync(target.file(path), "utf8");
    const unit = read("usr/lib/systemd/system/statsig-forward-proxy.service");
    const lines = [
      ...Array.from(unit.matchAll(/^Environment=(.*)$/gm), ([, line = ""]) => line.replace("%S", folder)),
      ...(read("etc/statsig-forward-proxy/environment").match(/^\w.*$/gm) ?? []),
    ];
    const settings = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
    await using upstream = await startUpstream();
    const key = publishKey(upstream, "secret-packaged");
    const env = { ...settings, SFP_HTTP_PORT: "0", SFP_GRPC_PORT: "0", SFP_BIND_ADDRESS: "127.0.0.1" };
    await using relay = await startRelayProcess({ isBare: true, upstream, env });
    const url = `${relay.httpUrl}/v2/download_config_specs/${key.sdkKey}.json`;
    expect(textOf(await rawGet(url))).toBe(key.v2);
    expect(existsSync(join(folder, "statsig-forward-proxy/cache"))).toBe(true);
    expect(await relay.stop()).toBe(0);
  });
});
