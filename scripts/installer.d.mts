/** Runs a package client quietly. A failure is an Error whose message is one line: what is wrong and the mend. */
export function runInstaller(
  command: readonly string[],
  cwd: string,
  signal?: AbortSignal,
): Promise<void>;
