import { existsSync } from "node:fs";

/** Debian package of each command. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  nginx: "nginx-light",
  wrk: "wrk",
  h2load: "nghttp2-client",
  "redis-server": "redis-server",
  "redis-cli": "redis-tools",
};

const INSTALL_TIMEOUT_MS = 300_000;

/** On Debian, servers are not in the PATH of ordinary users. */
const SEARCHED = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

export function findCommand(name: string): string | undefined {
  return Bun.which(name, { PATH: SEARCHED }) ?? undefined;
}

/** Installs missing commands if possible. Prints and returns those that are still missing. */
export async function missingCommands(needed: readonly string[]): Promise<readonly string[]> {
  const absent = () => needed.filter((name) => findCommand(name) === undefined);
  if (absent().length > 0 && canInstall()) await install(absent());
  const missing = absent();
  if (missing.length > 0) {
    console.error(
      `Missing: ${missing.join(", ")}. Install them (Debian: apt-get install -y ${packages(missing)})`,
    );
  }
  return missing;
}

const packages = (names: readonly string[]) => names.map((name) => PACKAGE_OF[name] ?? name).join(" ");

function canInstall(): boolean {
  return process.getuid?.() === 0 && existsSync("/etc/debian_version") && Bun.which("apt-get") !== null;
}

async function install(names: readonly string[]): Promise<void> {
  console.error(`Installing ${packages(names)} with apt-get`);
  await aptGet("update");
  await aptGet("install", "--no-install-recommends", ...packages(names).split(" "));
}

async function aptGet(...args: string[]): Promise<void> {
  const child = Bun.spawn(["apt-get", "-qq", "--yes", "-o", "DPkg::Lock::Timeout=120", ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    stdio: ["ignore", "ignore", "ignore"],
    timeout: INSTALL_TIMEOUT_MS,
  });
  await child.exited;
}
