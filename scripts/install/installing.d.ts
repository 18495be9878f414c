declare module "*/installer.mjs" {
  export function runInstaller(
    command: readonly string[],
    cwd: string,
    signal?: AbortSignal,
    env?: NodeJS.ProcessEnv,
  ): Promise<string>;
}

declare module "*/install-lock.mjs" {
  export function withInstallLock<T>(
    lock: string,
    signal: AbortSignal | undefined,
    action: () => Promise<T>,
  ): Promise<T>;
}

declare module "*/npm-config.mjs" {
  export function npmCommand(): string[];
}
