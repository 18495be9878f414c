import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { delimiter, join } from "node:path";
import { withInstallLock } from "./install-lock.mjs";
import { runInstaller } from "./installer.mjs";
import { npmCommand, withNpmConfig } from "./npm-config.mjs";

/**
 * Installs the pinned Bun and the packages of bun.lock if they are missing: all of them, or those that the relay needs to run,
 * which are an eighth of the size. Returns the path of Bun.
 */
export async function ensureBun(root, needsAllPackages, signal) {
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const project = { root, version: engines.bun, home: join(root, ".bun"), needsAllPackages, signal };
  const found = findBun(project);
  if (found !== undefined && packagesAreCurrent(project)) return found;

  mkdirSync(project.home, { recursive: true });
  return withInstallLock(join(project.home, "installing"), signal, async () => {
    const bun = findBun(project) ?? (await installBun(project));
    if (!packagesAreCurrent(project)) await installPackages(project, bun);
    return bun;
  });
}

function findBun({ home, version }) {
  const onPath = (process.env.PATH ?? "").split(delimiter).filter((dir) => dir.startsWith("/"));
  const candidates = [...listPlatformBinaries(join(home, version)), ...onPath.map((dir) => join(dir, "bun"))];
  return candidates.find((file) => readVersion(file) === version);
}

// The folder may contain packages for several platforms: an npm that does not know `libc` installs both glibc and musl, and
// a clone may have been copied from another machine. The right binary is the one that runs.
function listPlatformBinaries(dir) {
  const scope = join(dir, "node_modules", "@oven");
  return listEntries(scope).flatMap((name) => [
    join(scope, name, "bin", "bun"),
    join(scope, name, "bin", "bun.exe"),
  ]);
}

function listEntries(dir) {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function readVersion(file) {
  const { stdout, status } = spawnSync(file, ["--version"], { encoding: "utf8", timeout: 10_000 });
  return status === 0 ? stdout.trim() : undefined;
}

const npmFlags = [
  ...["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--include=optional"],
  // A version never changes, so what the cache has of it is current. This also works without a network.
  "--prefer-offline",
  // The default retries take 70 s before npm reports that the registry is unreachable.
  ...["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=10000"],
];

// Install scripts are off: npm may block them, and the one of Bun only moves the binary of the platform package over a
// placeholder. npm selects the package by os, cpu and libc, and its binary is used in place. The folder is filled under
// another name and then renamed, so that a killed process never leaves an incomplete Bun.
async function installBun(project) {
  const { root, home, version, signal } = project;
  console.error(`Installing Bun ${version} into .bun (once)`);
  const aside = mkdtempSync(join(home, "new-"));
  try {
    // npm reads the project's settings from the folder that it installs into.
    const settings = join(aside, ".npmrc");
    if (existsSync(join(root, ".npmrc"))) copyFileSync(join(root, ".npmrc"), settings);
    const command = [...npmCommand(), "install", `bun@${version}`, ...npmFlags, "--prefix", aside];
    await runInstaller(command, aside, signal);
    rmSync(settings, { force: true });
    rmSync(join(home, version), { recursive: true, force: true });
    renameSync(aside, join(home, version));
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  const bun = findBun(project);
  if (bun === undefined)
    throw new Error(`npm installed bun@${version}, but no binary of it runs on this machine`);
  return bun;
}

const stampFile = (root) => join(root, "node_modules", ".installed-from");

function lockDigest(root) {
  const hash = createHash("sha256").update(`${process.platform}-${process.arch}`);
  for (const name of ["package.json", "bun.lock"]) hash.update(readFileSync(join(root, name)));
  return hash.digest("hex");
}

/** The stamp says which lock file the packages are of, and whether some are missing. */
const allOf = (digest) => digest;
const runTimeOf = (digest) => `run time only: ${digest}`;

function packagesAreCurrent({ root, needsAllPackages }) {
  try {
    const stamp = readFileSync(stampFile(root), "utf8");
    const digest = lockDigest(root);
    return stamp === allOf(digest) || (!needsAllPackages && stamp === runTimeOf(digest));
  } catch {
    return false;
  }
}

async function installPackages({ root, needsAllPackages, signal }, bun) {
  console.error(
    `Installing the packages of bun.lock${needsAllPackages ? "" : " that the relay needs to run"}`,
  );
  const scope = needsAllPackages ? [] : ["--omit=dev"];
  await withNpmConfig(root, signal, (env, flags) =>
    runInstaller([bun, "install", "--frozen-lockfile", ...scope, ...flags], root, signal, env),
  );
  const digest = lockDigest(root);
  writeFileSync(stampFile(root), needsAllPackages ? allOf(digest) : runTimeOf(digest));
}
