import { root } from "../command.ts";

/** What git prints. Throws with its own words where it fails. */
export function git(...args: readonly string[]): string {
  const { success, stdout, stderr } = Bun.spawnSync(["git", ...args], { cwd: root });
  if (!success) throw new Error(`git ${args[0]}: ${stderr.toString().trim()}`);
  return stdout.toString().trim();
}

/** Throws where a release can't be made of what is there. */
export function checkRepository(tag: string): void {
  const changes = git("status", "--porcelain");
  if (changes !== "") throw new Error(`there are changes that no commit has:\n${changes}`);
  if (git("tag", "--list", tag) !== "") throw new Error(`the tag ${tag} is there already`);
}
