import { root } from "../command.ts";

/** Runs git and returns its output. Throws with its error message if it fails. */
export function git(...args: readonly string[]): string {
  const { success, stdout, stderr } = Bun.spawnSync(["git", ...args], { cwd: root });
  if (!success) throw new Error(`git ${args[0]}: ${stderr.toString().trim()}`);
  return stdout.toString().trim();
}

/** Throws if there are uncommitted changes, or if the tag already exists. */
export function checkRepository(tag: string): void {
  const changes = git("status", "--porcelain");
  if (changes !== "") throw new Error(`there are uncommitted changes:\n${changes}`);
  if (git("tag", "--list", tag) !== "") throw new Error(`the tag ${tag} already exists`);
}
