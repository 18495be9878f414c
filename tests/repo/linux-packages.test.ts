import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildDeb } from "../../scripts/packages/deb.ts";
import { buildRpm } from "../../scripts/packages/rpm.ts";
import { OPTIONS } from "../../src/config/options.ts";
import { describeWith } from "../support/common/needs.ts";
import { PackageRoot, runCommand } from "../support/deploy/package-root.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const out = mkdtempSync(join(tmpdir(), "sfp-packages-"));
const standIn = join(out, "statsig-forward-proxy-linux-x64");
const CONFIG = "etc/statsig-forward-proxy/environment";
const TIME_S = 1_700_000_000;
const isRoot = process.getuid?.() === 0;
const hasDpkg = Bun.which("dpkg-deb") !== null && isRoot;

afterAll(() => rmSync(out, { recursive: true, force: true }));

/** Builds from a small program in place of the relay, which takes long to compress. */
const given = (of: string, outdir = out) =>
  ({ target: "linux-x64", executable: standIn, version: of, timeS: TIME_S, outdir }) as const;

beforeAll(() => {
  writeFileSync(standIn, "#!/bin/sh\necho stand-in\n");
  chmodSync(standIn, 0o755);
});

const PATHS = (zsh: string) => [
  "-rw-r----- /etc/statsig-forward-proxy/environment",
  "-rwxr-xr-x /usr/bin/statsig-forward-proxy",
  "-rw-r--r-- /usr/lib/systemd/system/statsig-forward-proxy.service",
  "-rw-r--r-- /usr/share/bash-completion/completions/statsig-forward-proxy",
  "-rw-r--r-- /usr/share/doc/statsig-forward-proxy/copyright",
  "-rw-r--r-- /usr/share/fish/vendor_completions.d/statsig-forward-proxy.fish",
  "-rw-r--r-- /usr/share/man/man1/statsig-forward-proxy.1.gz",
  `-rw-r--r-- ${zsh}/_statsig-forward-proxy`,
];
const DEBIAN_ONLY = [
  "-rw-r--r-- /usr/share/doc/statsig-forward-proxy/changelog.gz",
  "-rw-r--r-- /usr/share/lintian/overrides/statsig-forward-proxy",
];

/** Returns `mode path` of each file that root owns, from the listing of dpkg-deb or rpm. */
const listed = (listing: string) =>
  Array.from(
    listing.matchAll(/^(-\S+) .*?root[ /]+root .* \.?(\/\S+)$/gm),
    ([, mode, path]) => `${mode} ${path}`,
  );

describe.skipIf(!hasDpkg)("the .deb package", () => {
  test("has the executable, the unit, settings, completions and a manual page", () => {
    const name = buildDeb(given("0.9.0"));
    expect(name).toBe("statsig-forward-proxy_0.9.0_amd64.deb");
    const { stdout } = runCommand("dpkg-deb", "--contents", join(out, name));
    const expected = [...PATHS("/usr/share/zsh/vendor-completions"), ...DEBIAN_ONLY];
    expect(listed(stdout).sort()).toEqual(expected.sort());
    const fields = runCommand("dpkg-deb", "--field", join(out, name), "Package", "Version", "Architecture");
    expect(fields.stdout).toBe("Package: statsig-forward-proxy\nVersion: 0.9.0\nArchitecture: amd64\n");
    expect(runCommand("dpkg-deb", "--info", join(out, name), "conffiles").stdout).toBe(`/${CONFIG}\n`);
  });

  test("is the same, byte for byte, when it is built again", () => {
    const again = join(out, "again");
    mkdirSync(again);
    const name = buildDeb(given("0.9.0"));
    buildDeb(given("0.9.0", again));
    expect(readFileSync(join(again, name)).equals(readFileSync(join(out, name)))).toBe(true);
  });

  test("a release candidate is older than its release", () => {
    const candidate = buildDeb(given("1.0.0-rc.1")).split("_")[1] ?? "";
    expect(runCommand("dpkg", "--compare-versions", candidate, "lt", "1.0.0").exitCode).toBe(0);
    expect(runCommand("dpkg", "--compare-versions", candidate, "gt", "0.9.9").exitCode).toBe(0);
  });

  test("keeps changed settings in an upgrade and a removal, and deletes all with a purge", () => {
    using target = new PackageRoot();
    const [first, second] = [buildDeb(given("0.9.0")), buildDeb(given("0.9.1"))];
    const installed = target.dpkg("--install", join(out, first));
    expect([installed.exitCode, installed.stdout]).toEqual([
      0,
      expect.stringContaining("systemctl enable --now statsig-forward-proxy"),
    ]);
    appendFileSync(target.file(CONFIG), "SFP_CACHE=redis\n");
    const data = target.file("var/lib/private/statsig-forward-proxy/cache");
    mkdirSync(data, { recursive: true });
    const upgraded = target.dpkg("--install", join(out, second));
    expect([upgraded.exitCode, upgraded.stdout]).toEqual([0, expect.not.stringContaining("systemctl")]);
    expect(readFileSync(target.file(CONFIG), "utf8")).toEndWith("SFP_CACHE=redis\n");
    expect(target.dpkg("--remove", "statsig-forward-proxy").exitCode).toBe(0);
    expect(existsSync(target.file("usr/bin/statsig-forward-proxy"))).toBe(false);
    expect(readFileSync(target.file(CONFIG), "utf8")).toEndWith("SFP_CACHE=redis\n");
    expect(existsSync(data)).toBe(true);
    expect(target.dpkg("--purge", "statsig-forward-proxy").exitCode).toBe(0);
    for (const gone of [
      "etc/statsig-forward-proxy",
      "var/lib/private/statsig-forward-proxy",
      "usr/share/man",
    ])
      expect([gone, existsSync(target.file(gone))]).toEqual([gone, false]);
  });

  test("installs the unit for its own path, which the machine does not start", () => {
    using target = new PackageRoot();
    target.dpkg("--install", join(out, buildDeb(given("0.9.0"))));
    const unit = readFileSync(target.file("usr/lib/systemd/system/statsig-forward-proxy.service"), "utf8");
    const source = readFileSync(join(root, "deploy/systemd/statsig-forward-proxy.service"), "utf8");
    expect(unit).toContain("\nExecStart=/usr/bin/statsig-forward-proxy\n");
    expect(unit).not.toContain("/usr/local");
    expect(unit.split("\n")).toHaveLength(source.split("\n").length);
    expect(existsSync(target.file("etc/systemd/system/multi-user.target.wants"))).toBe(false);
  });

  test("has a manual page with every option", () => {
    using target = new PackageRoot();
    target.dpkg("--install", join(out, buildDeb(given("0.9.0"))));
    const page = readFileSync(target.file("usr/share/man/man1/statsig-forward-proxy.1.gz"));
    const text = Buffer.from(Bun.gunzipSync(page)).toString().replaceAll("\\-", "-");
    expect(OPTIONS.filter(({ name }) => !text.includes(`\\fB--${name}\\fR`))).toEqual([]);
  });
});

/** Runs a script of the .deb on a machine that systemd seems to run, and returns the calls of systemctl. */
function callsOf(script: string, ...args: string[]): string[] {
  const machine = mkdtempSync(join(out, "machine-"));
  const log = join(machine, "log");
  writeFileSync(join(machine, "systemctl"), `#!/bin/sh\necho "$@" >> ${log}\n`, { mode: 0o755 });
  const text = readFileSync(join(root, "deploy/packages/deb", script), "utf8");
  const run = Bun.spawnSync(["sh", "-c", text.replaceAll("/run/systemd/system", machine), script, ...args], {
    env: { PATH: `${machine}:/usr/bin:/bin` },
  });
  expect([run.exitCode, run.stderr.toString()]).toEqual([0, ""]);
  return existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
}

test("the scripts of the .deb start nothing at first, restart a running relay after an upgrade, and stop it before a removal", () => {
  expect(callsOf("postinst", "configure")).toEqual(["daemon-reload"]);
  const restart = "try-restart statsig-forward-proxy.service";
  expect(callsOf("postinst", "configure", "0.9.0")).toEqual(["daemon-reload", restart]);
  expect(callsOf("prerm", "upgrade", "0.9.1")).toEqual([]);
  expect(callsOf("prerm", "remove")).toEqual(["disable --now statsig-forward-proxy.service"]);
  expect(callsOf("postrm", "remove")).toEqual(["daemon-reload"]);
});

describeWith("rpmbuild")("the .rpm package", () => {
  test("has the same files, and settings that upgrades keep", () => {
    const name = buildRpm(given("0.9.0"));
    expect(name).toBe("statsig-forward-proxy-0.9.0-1.x86_64.rpm");
    const files = listed(runCommand("rpm", "-qlpv", join(out, name)).stdout);
    expect(files.sort()).toEqual(PATHS("/usr/share/zsh/site-functions").sort());
    const kept = runCommand("rpm", "-qp", "--qf", "[%{FILEFLAGS:fflags} %{FILENAMES}\n]", join(out, name));
    expect(kept.stdout.split("\n")).toContain(`cn /${CONFIG}`);
  });

  test.skipIf(!isRoot)(
    "is the same, byte for byte, when it is built again, and has the executable as it was",
    () => {
      const again = join(out, "rpm-again");
      mkdirSync(again);
      const name = buildRpm(given("0.9.0"));
      buildRpm(given("0.9.0", again));
      expect(readFileSync(join(again, name)).equals(readFileSync(join(out, name)))).toBe(true);
      using target = new PackageRoot();
      expect(target.rpm("--install", join(out, name)).exitCode).toBe(0);
      expect(readFileSync(target.file("usr/bin/statsig-forward-proxy"))).toEqual(readFileSync(standIn));
    },
  );

  test.skipIf(!isRoot)("keeps changed settings in an upgrade", () => {
    using target = new PackageRoot();
    target.rpm("--install", join(out, buildRpm(given("0.9.0"))));
    appendFileSync(target.file(CONFIG), "SFP_CACHE=redis\n");
    expect(target.rpm("--upgrade", join(out, buildRpm(given("0.9.1")))).exitCode).toBe(0);
    expect(readFileSync(target.file(CONFIG), "utf8")).toEndWith("SFP_CACHE=redis\n");
    expect(runCommand("rpm", "--root", target.path, "--query", "statsig-forward-proxy").stdout).toBe(
      "statsig-forward-proxy-0.9.1-1.x86_64\n",
    );
  });

  test("starts nothing at first", () => {
    const { stdout } = runCommand("rpm", "-qp", "--scripts", join(out, buildRpm(given("0.9.0"))));
    expect(stdout).toContain("try-restart");
    expect(stdout).not.toMatch(/^\s*systemctl (enable|start)/m);
  });
});
