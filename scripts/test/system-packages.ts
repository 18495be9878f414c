import { existsSync } from "node:fs";
import { withoutServices } from "./no-services.ts";

/** Command that tests call -> its Debian package. */
const DEBIAN_PACKAGES: Readonly<Record<string, string>> = {
  curl: "curl",
  openssl: "openssl",
  nginx: "nginx",
  haproxy: "haproxy",
  nghttp: "nghttp2-client",
  "redis-server": "redis-server",
  "redis-sentinel": "redis-sentinel",
  "redis-cli": "redis-tools",
  jq: "jq",
  chromium: "chromium",
  zsh: "zsh",
  fish: "fish",
  prometheus: "prometheus",
  promtool: "prometheus",
  "systemd-analyze": "systemd",
  unzip: "unzip",
  rpmbuild: "rpm",
  strace: "strace",
  faketime: "faketime",
};

const ATTEMPTS = 3;
const ATTEMPT_PAUSE_MS = 5_000;
const UPDATE_TIMEOUT_MS = 120_000;
const INSTALL_TIMEOUT_MS = 300_000;

/** Returns the commands that tests call and that are not on the PATH. */
export function findMissingCommands(): string[] {
  return Object.keys(DEBIAN_PACKAGES).filter((command) => Bun.which(command) === null);
}

/** Returns the environment variable that makes tests skip what needs a missing command. */
export function toTestVariable(missing: readonly string[]): Record<string, string> {
  return { SFP_TEST_MISSING: missing.join(",") };
}

/** A flag of `npm test` and `npm run test:binary`: nothing is installed with apt-get. */
export const NO_SYSTEM_PACKAGES = "--no-system-packages";

/**
 * Installs missing commands, as root on Debian if this is wanted, and returns those that are still missing. Prints which tests are
 * skipped.
 */
export async function installMissingCommands(isWanted: boolean): Promise<string[]> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const missing = findMissingCommands();
    if (missing.length === 0 || !isWanted || !canInstall()) break;
    // Another `npm test` may hold apt's locks, or have installed everything before the next attempt.
    if (attempt > 1) await Bun.sleep(ATTEMPT_PAUSE_MS);
    await withoutServices((env) => install(toDebianPackages(missing), env));
  }
  const missing = findMissingCommands();
  if (missing.length > 0) {
    const packages = toDebianPackages(missing).join(" ");
    console.error(
      `Tests that need ${missing.join(", ")} are skipped. Install them with: apt-get install ${packages}`,
    );
  }
  return missing;
}

const toDebianPackages = (commands: readonly string[]) => [
  ...new Set(commands.map((command) => DEBIAN_PACKAGES[command] ?? command)),
];

function canInstall(): boolean {
  return process.getuid?.() === 0 && existsSync("/etc/debian_version") && Bun.which("apt-get") !== null;
}

async function install(packages: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  console.error(
    `Installing ${packages.join(", ")} with apt-get, without starting or enabling services. ${NO_SYSTEM_PACKAGES} prevents this`,
  );
  // Continue after a failed update: the package lists on the machine may be recent enough.
  await aptGet(env, UPDATE_TIMEOUT_MS, "update");
  // One by one, so that a package that this Debian release does not have does not prevent the others.
  for (const name of packages) {
    const { failed, output } = await aptGet(
      env,
      INSTALL_TIMEOUT_MS,
      "install",
      "--no-install-recommends",
      name,
    );
    if (failed) console.error(`Cannot install ${name}: ${findReason(output)}`);
  }
}

async function aptGet(
  env: Readonly<Record<string, string>>,
  timeout: number,
  ...args: string[]
): Promise<{ failed: boolean; output: string }> {
  const options = ["-o", "DPkg::Lock::Timeout=120", "-o", "DPkg::Path="];
  const child = Bun.spawn(["apt-get", "-qq", "--yes", ...options, ...args], {
    env: { ...process.env, ...env, DEBIAN_FRONTEND: "noninteractive" },
    stdio: ["ignore", "ignore", "pipe"],
    timeout,
  });
  const output = await child.stderr.text();
  return { failed: (await child.exited) !== 0, output };
}

function findReason(output: string): string {
  return output.split("\n").find((line) => line.startsWith("E:")) ?? "apt-get gave no reason, or timed out";
}
