declare module "*/installer.mjs" {
  export function runInstaller(command: readonly string[], cwd: string, signal?: AbortSignal): Promise<void>;
}

declare module "*/install-lock.mjs" {
  export function withInstallLock<T>(
    lock: string,
    signal: AbortSignal | undefined,
    action: () => Promise<T>,
  ): Promise<T>;
}
