/** Returns the system calls that SystemCallFilter= lines allow. The first line is a list; lines with `~` remove from it. */
export function allowedSystemCalls(lines: readonly string[]): ReadonlySet<string> {
  const allowed = new Set<string>();
  for (const line of lines) {
    const isDenied = line.startsWith("~");
    for (const word of line.replace("~", "").split(/\s+/)) {
      for (const name of expand(word)) {
        if (isDenied) allowed.delete(name);
        else allowed.add(name);
      }
    }
  }
  return allowed;
}

/** Expands a group of system calls as systemd defines it. */
function expand(word: string): readonly string[] {
  if (!word.startsWith("@")) return [word];
  const { stdout } = Bun.spawnSync(["systemd-analyze", "--no-pager", "syscall-filter", word]);
  const lines = stdout.toString().split("\n").slice(1);
  const names = lines.map((line) => line.trim()).filter((line) => /^@?\w/.test(line));
  return names.flatMap(expand);
}
