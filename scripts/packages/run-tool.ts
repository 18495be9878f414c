/** A program of the machine that builds a package. */
export interface Tool {
  readonly command: readonly [name: string, ...args: string[]];
  /** The Debian package that has it, for the error. */
  readonly from: string;
  /** Seconds since the Unix epoch: the time of everything in the package, so that two builds are equal. */
  readonly timeS: number;
}

/** Throws with the output of the program if it is missing or fails. */
export function runTool({ command, from, timeS }: Tool): void {
  const [name] = command;
  if (Bun.which(name) === null) throw new Error(`${name} is missing: install the package ${from}`);
  const { success, stdout, stderr } = Bun.spawnSync([...command], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(timeS), LC_ALL: "C" },
  });
  if (!success) throw new Error(`${name} failed:\n${stdout.toString()}${stderr.toString()}`);
}
