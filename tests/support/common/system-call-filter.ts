/** Names of the system calls that lines of SystemCallFilter= let through: the first is a list, `~` takes away. */
export function allowedSystemCalls(lines: readonly string[]): ReadonlySet<string> {
  const allowed = new Set<string>();
  for (const line of lines) {
    const isDenied = line.startsWith("~");
    for (const word of line.replace("~", "").split(/\s+/)) {
      for (const name of expanded(word)) {
        if (isDenied) allowed.delete(name);
        else allowed.add(name);
      }
    }
  }
  return allowed;
}

/** As systemd itself has the group, with all that it holds. */
function expanded(word: string): readonly string[] {
  if (!word.startsWith("@")) return [word];
  const { stdout } = Bun.spawnSync(["systemd-analyze", "--no-pager", "syscall-filter", word]);
  const lines = stdout.toString().split("\n").slice(1);
  const names = lines.map((line) => line.trim()).filter((line) => /^@?\w/.test(line));
  return names.flatMap(expanded);
}
