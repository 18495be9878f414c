// `npm run reproducible`: builds the executable twice and checks that the bytes are identical. The second build runs in a copy
// in another folder, with newly installed packages and another time zone, locale, home and umask.
//   npm run reproducible -- [--target linux-arm64]
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { readCommit } from "./binary/commit.ts";
import { root } from "./command.ts";

const INSTALL_TIMEOUT_MS = 5 * 60_000;
const BUILD_TIMEOUT_MS = 3 * 60_000;

const { values } = parseArgs({ options: { target: { type: "string" } } });
const folder = mkdtempSync(join(tmpdir(), "sfp-reproducible-"));
try {
  const commit = { SFP_BUILD_COMMIT: readCommit().shown };
  const here = build(root, join(folder, "here"), commit);
  const copy = join(folder, "a copy", "in-another", "folder");
  copySources(copy);
  run([process.execPath, "install", "--frozen-lockfile", "--omit=dev"], {
    cwd: copy,
    timeoutMs: INSTALL_TIMEOUT_MS,
  });
  const home = join(folder, "home");
  mkdirSync(home);
  const elsewhere = { ...commit, TZ: "Asia/Kathmandu", LC_ALL: "C", HOME: home, TMPDIR: home };
  process.umask(0o077);
  const there = build(copy, join(folder, "there"), elsewhere);
  if (here.sha256 === there.sha256) {
    console.log(`identical builds: ${here.bytes.length} bytes, SHA-256 ${here.sha256}`);
  } else {
    console.error(`builds differ: ${describeDifference(here.bytes, there.bytes)}`);
    process.exitCode = 1;
  }
} catch (error) {
  console.error(`reproducible: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

interface Built {
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

function build(project: string, outfile: string, env: Readonly<Record<string, string>>): Built {
  const target = values.target === undefined ? [] : ["--target", values.target];
  const command = [process.execPath, join(project, "scripts", "build.ts"), "--outfile", outfile, ...target];
  run(command, { cwd: project, env, timeoutMs: BUILD_TIMEOUT_MS });
  const bytes = readFileSync(outfile);
  return { bytes, sha256: new Bun.CryptoHasher("sha256").update(bytes).digest("hex") };
}

/** Copies the working tree without ignored files, with uncommitted changes. */
function copySources(copy: string): void {
  const list = run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
    cwd: root,
    timeoutMs: 30_000,
  });
  for (const path of list.split("\0").filter((each) => each !== "")) {
    const from = join(root, path);
    mkdirSync(dirname(join(copy, path)), { recursive: true });
    // Git also lists files whose removal is not committed; do not fail for those.
    cpSync(from, join(copy, path), { force: true, errorOnExist: false });
  }
}

interface Running {
  readonly cwd: string;
  readonly timeoutMs: number;
  readonly env?: Readonly<Record<string, string>>;
}

function run(command: readonly string[], { cwd, timeoutMs, env = {} }: Running): string {
  const child = Bun.spawnSync([...command], {
    cwd,
    env: { ...process.env, ...env },
    timeout: timeoutMs,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (child.success) return child.stdout.toString();
  throw new Error(`${command.join(" ")}: ${child.stderr.toString().trim() || "timed out"}`);
}

function describeDifference(a: Uint8Array, b: Uint8Array): string {
  if (a.length !== b.length) return `${a.length} and ${b.length} bytes`;
  const first = a.findIndex((byte, at) => byte !== b[at]);
  const around = Buffer.from(a.subarray(Math.max(0, first - 80), first + 80)).toString("latin1");
  return `same length, first difference at byte ${first}: ${JSON.stringify(around)}`;
}
