import { existsSync } from "node:fs";
import { NO_SERVICES, withoutServices } from "./no-services.ts";

/** The commands that tests call -> the Debian package each is in. */
const packageOf: Readonly<Record<string, string>> = {
  curl: "curl",
  openssl: "openssl",
  nginx: "nginx",
  haproxy: "haproxy",
  nghttp: "nghttp2-client",
  "redis-server": "redis-server",
  "redis-sentinel": "redis-sentinel",
  "redis-cli": "redis-tools",
  chromium: "chromium",
  zsh: "zsh",
  fish: "fish",
  prometheus: "prometheus",
  promtool: "prometheus",
  "systemd-analyze": "systemd",
  unzip: "unzip",
  strace: "strace",
  faketime: "faketime",
};

const attempts = 3;
const attemptPauseMs = 5_000;
const updateTimeoutMs = 120_000;
const installTimeoutMs = 300_000;

/** Installs what is missing where that is possible; returns the commands that are missing still. */
export async function missingSystemCommands(): Promise<string[]> {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const missing = absent();
    if (missing.length === 0 || !canInstall()) break;
    // A second `npm test` may hold apt's locks, or have installed everything by the next look.
    if (attempt > 1) await Bun.sleep(attemptPauseMs);
    await withoutServices(() => install(missing.map(debianPackage)));
  }
  const missing = absent();
  if (missing.length > 0) {
    const packages = missing.map(debianPackage).join(" ");
    console.error(
      `Tests that need ${missing.join(", ")} are skipped: install them (Debian: apt-get install ${packages})`,
    );
  }
  return missing;
}

const absent = () => Object.keys(packageOf).filter((command) => Bun.which(command) === null);
const debianPackage = (command: string) => packageOf[command] ?? command;

function canInstall(): boolean {
  return process.getuid?.() === 0 && existsSync("/etc/debian_version") && Bun.which("apt-get") !== null;
}

async function install(packages: readonly string[]): Promise<void> {
  console.error(`Installing ${packages.join(", ")} with apt-get`);
  // A failed update is no reason to stop: the lists on the machine may be good enough.
  await aptGet(updateTimeoutMs, "update");
  // One by one: a package that this release does not have must not keep the others away.
  for (const name of packages) {
    const { failed, output } = await aptGet(installTimeoutMs, "install", "--no-install-recommends", name);
    if (failed) console.error(`Cannot install ${name}: ${reasonIn(output)}`);
  }
}

async function aptGet(timeout: number, ...args: string[]): Promise<{ failed: boolean; output: string }> {
  const child = Bun.spawn(["apt-get", "-qq", "--yes", "-o", "DPkg::Lock::Timeout=120", ...args], {
    env: { ...process.env, ...NO_SERVICES, DEBIAN_FRONTEND: "noninteractive" },
    stdio: ["ignore", "ignore", "pipe"],
    timeout,
  });
  const output = await child.stderr.text();
  return { failed: (await child.exited) !== 0, output };
}

function reasonIn(output: string): string {
  return output.split("\n").find((line) => line.startsWith("E:")) ?? "no reason given, or out of time";
}
