import { root } from "../command.ts";

/** Of what goes into an executable. */
const SOURCES = ["src", "proto", "scripts", "package.json", "bun.lock"];

const SHORT_LENGTH = 7;

export interface Commit {
  /** What `--version` shows: short, `-dirty` behind it where files differ from the commit. */
  readonly shown: string;
  /** As a time in seconds since the Unix epoch, where it is known. */
  readonly timeS: number | undefined;
}

/** From git; where there is none, as in a container's build, from SFP_BUILD_COMMIT and SOURCE_DATE_EPOCH. */
export function currentCommit(): Commit {
  const given = process.env["SFP_BUILD_COMMIT"];
  const givenTime = process.env["SOURCE_DATE_EPOCH"] || git("log", "-1", "--format=%ct");
  const timeS = givenTime === undefined ? undefined : Number(givenTime);
  if (given) return { shown: shortened(given), timeS };
  const head = git("rev-parse", "HEAD");
  if (head === undefined) return { shown: "unknown", timeS };
  const changes = git("status", "--porcelain", "--", ...SOURCES);
  return { shown: `${shortened(head)}${changes === "" ? "" : "-dirty"}`, timeS };
}

const shortened = (commit: string) =>
  /^[0-9a-f]{40}$/.test(commit) ? commit.slice(0, SHORT_LENGTH) : commit;

function git(...args: string[]): string | undefined {
  if (Bun.which("git") === null) return undefined;
  const { success, stdout } = Bun.spawnSync(["git", ...args], { cwd: root, stderr: "ignore" });
  return success ? stdout.toString().trim() : undefined;
}
