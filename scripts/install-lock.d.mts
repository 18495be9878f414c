/** Runs `action` while holding the directory `lock`: of several processes in one clone only one installs. */
export function withInstallLock<T>(
  lock: string,
  signal: AbortSignal | undefined,
  action: () => Promise<T>,
): Promise<T>;
