import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, delimiter, join } from "node:path";
import { withInstallLock } from "./install-lock.mjs";
import { runInstaller } from "./installer.mjs";

/** The path of the pinned Bun, once it and the packages of bun.lock are installed. Writes only if one is missing. */
export async function readyBun(root, signal) {
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const project = { root, version: engines.bun, home: join(root, ".bun"), signal };
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
  const candidates = [...platformBinaries(join(home, version)), ...onPath.map((dir) => join(dir, "bun"))];
  return candidates.find((file) => versionOf(file) === version);
}

// npm may have put several platform packages here (an npm that does not know `libc` takes glibc and musl both),
// or a clone may have been copied from another machine: the binary that runs is the right one.
function platformBinaries(dir) {
  const scope = join(dir, "node_modules", "@oven");
  return entriesOf(scope).flatMap((name) => [
    join(scope, name, "bin", "bun"),
    join(scope, name, "bin", "bun.exe"),
  ]);
}

function entriesOf(dir) {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function versionOf(file) {
  const { stdout, status } = spawnSync(file, ["--version"], { encoding: "utf8", timeout: 10_000 });
  return status === 0 ? stdout.trim() : undefined;
}

const npmFlags = [
  ...["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--include=optional"],
  // npm's own waits add up to 70 s before it says that the registry is out of reach.
  ...["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=10000"],
];

// Without install scripts: npm may block them, and bun's own only moves the platform package's binary
// over a placeholder. npm picks the package by os, cpu and libc; its binary is used where it lies. Built aside
// and renamed, so that a run that was killed never leaves half a Bun behind.
async function installBun(project) {
  const { home, version, signal } = project;
  console.error(`Installing Bun ${version} into .bun (once)`);
  const aside = mkdtempSync(join(home, "new-"));
  try {
    const command = [...npmCommand(), "install", `bun@${version}`, ...npmFlags, "--prefix", aside];
    await runInstaller(command, aside, signal);
    rmSync(join(home, version), { recursive: true, force: true });
    renameSync(aside, join(home, version));
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  const bun = findBun(project);
  if (bun === undefined)
    throw new Error(`npm installed bun@${version}, but none of its binaries runs on this machine`);
  return bun;
}

function npmCommand() {
  const current = process.env.npm_execpath ?? "";
  return basename(current) === "npm-cli.js" ? [process.execPath, current] : ["npm"];
}

const stampFile = (root) => join(root, "node_modules", ".installed-from");

function lockDigest(root) {
  const hash = createHash("sha256").update(`${process.platform}-${process.arch}`);
  for (const name of ["package.json", "bun.lock"]) hash.update(readFileSync(join(root, name)));
  return hash.digest("hex");
}

function packagesAreCurrent({ root }) {
  try {
    return readFileSync(stampFile(root), "utf8") === lockDigest(root);
  } catch {
    return false;
  }
}

async function installPackages({ root, signal }, bun) {
  console.error("Installing the packages of bun.lock");
  await runInstaller([bun, "install", "--frozen-lockfile"], root, signal);
  writeFileSync(stampFile(root), lockDigest(root));
}
