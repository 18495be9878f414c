import { root } from "../command.ts";

/** The executable depends on these: a change in one of them makes a build `-dirty`. */
const SOURCES = ["src", "proto", "scripts", "package.json", "bun.lock"];

const SHORT_LENGTH = 7;

export interface Commit {
  /** What `--version` prints: the short hash, with `-dirty` appended if files differ from the commit. */
  readonly shown: string;
  /** In seconds since the Unix epoch; undefined if it is unknown. */
  readonly timeS: number | undefined;
}

/** Reads the commit from git, or from SFP_BUILD_COMMIT and SOURCE_DATE_EPOCH: a container build has no repository. */
export function readCommit(): Commit {
  const given = process.env["SFP_BUILD_COMMIT"];
  const givenTime = process.env["SOURCE_DATE_EPOCH"] || git("log", "-1", "--format=%ct");
  const timeS = givenTime === undefined ? undefined : Number(givenTime);
  if (given) return { shown: shorten(given), timeS };
  const head = git("rev-parse", "HEAD");
  if (head === undefined) return { shown: "unknown", timeS };
  const changes = git("status", "--porcelain", "--", ...SOURCES);
  return { shown: `${shorten(head)}${changes === "" ? "" : "-dirty"}`, timeS };
}

const shorten = (commit: string) => (/^[0-9a-f]{40}$/.test(commit) ? commit.slice(0, SHORT_LENGTH) : commit);

function git(...args: string[]): string | undefined {
  if (Bun.which("git") === null) return undefined;
  const { success, stdout } = Bun.spawnSync(["git", ...args], { cwd: root, stderr: "ignore" });
  return success ? stdout.toString().trim() : undefined;
}
